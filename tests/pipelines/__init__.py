"""The ready pipelines, and what they tell GitHub and GitLab."""
