"""Tests of AWS environments with a real engine on an emulated AWS."""
