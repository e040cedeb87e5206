"""What all our programs need of their surroundings: how they start, their variables, the CPUs."""
