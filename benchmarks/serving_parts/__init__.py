"""Parts of the serving benchmark: servers, load, one question a module."""
