"""One thread for each process: models here are tiny, and threads that wait for each other cost more than they do."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported; processes that tests start inherit it
