"""What programs ask for: runs in sessions by id or by name, one after another in each."""
