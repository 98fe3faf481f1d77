"""The files of an installation, and the checks of an administrator's own files."""
