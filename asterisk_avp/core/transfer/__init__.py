"""One transfer: its states, the table of transitions, and what each step does."""
