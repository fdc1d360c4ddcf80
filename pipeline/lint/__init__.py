"""What a file went through before it came here: signs, evidence, findings."""
