"""The workers' side of the queue: the lanes that predict workers empty, and the finished stream that recorders do."""
