"""What every command prints with: names as they are shown, streams that take any letter, one-line refusals."""
