"""What computes: one protocol, the real engine on diffusers, and a simulated one with given timings."""
