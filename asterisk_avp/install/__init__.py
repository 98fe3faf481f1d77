"""The files of an installation, and what `check` finds in an administrator's own."""
