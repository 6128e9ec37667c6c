"""Parts of the log's benchmark: one question a module."""
