"""Training under generic MPC with SecretFlow's SPU: the images themselves are secret-shared (docs/mpc.md)."""
