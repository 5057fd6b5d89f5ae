"""The commands of `manage.py`; the package above has what they share."""
