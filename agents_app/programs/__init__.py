"""What programs request: runs in sessions given by id or name, one after another in each."""
