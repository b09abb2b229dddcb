"""Ansible: carries what the Blueprint decided to hosts, and computes nothing."""
