"""The commands of `manage.py`; what several share stands in the package above."""
