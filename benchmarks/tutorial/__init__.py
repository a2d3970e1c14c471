"""The design that tutorials teach: FastAPI, one Celery task an image, Redis as result backend, the client polls."""
