"""The HTTP interface: FastAPI on uvicorn, inside the process that dispatches."""
