"""The admin pages of this app's models.

Each module named after a model, in the plural, has that model's pages; `access_logs` has those of
exports and transcript readings. agents_app.admin registers the classes of `session_admin_base`
and `messages`. The other modules are parts of these pages, or shared by them.
"""
