"""All calls and transfers at once: facts and requests in, outcomes out."""
