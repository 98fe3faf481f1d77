"""All calls and transfers: facts and requests in, outcomes out."""
