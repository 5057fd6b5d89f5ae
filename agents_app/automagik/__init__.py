"""Takes an Automagik database into this one: where it is read from, and how it is stored."""
