"""What tasks talk to, one file each."""
