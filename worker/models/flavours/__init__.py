"""What MLflow calls flavours: how a version's files become a forward pass. One module a family of flavours."""
