"""Before any test imports TensorFlow: keep its C++ log off the terminal."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
