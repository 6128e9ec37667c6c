"""The core of online deep learning as a service: the log, the replica, the version lock."""
