"""The weights of checkpoints that the C tests make themselves, for the generators of their golden answers."""
import torch

def random_values(state, name, shape):
    """The C test's generator: [-0.5, 0.5) times 0.5, and around one for the scale of a norm."""
    n, values = 1, []
    for d in shape: n *= d
    for _ in range(n):
        state = (state * 1664525 + 1013904223) % 2**32
        random = (state >> 8) / 2**24 - 0.5
        values.append(1 + 0.25 * random if len(shape) == 1 and name.endswith(".weight") else 0.5 * random)
    return state, torch.tensor(values, dtype=torch.float32).reshape(shape)
