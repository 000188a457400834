"""What the experiment kind ``protocol`` is made of: stand-ins, instruments, the record, and the checks on it."""
