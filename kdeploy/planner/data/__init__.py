"""The planner's data: what EC2 offers and what it costs, with the script that writes it."""
