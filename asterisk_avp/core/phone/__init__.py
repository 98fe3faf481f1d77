"""What a transferor does on the phone: feature code, Transfer button, keys."""
