"""Who may transfer what to whom, and what an agent may dial."""
