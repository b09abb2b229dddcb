"""Real hosts under test."""
