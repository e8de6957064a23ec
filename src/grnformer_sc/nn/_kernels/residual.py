"""Layer norm, ReLU and residual in one pass over nodes, on the CPU."""

import numba as nb
import numpy as np

FLAGS = {"contract", "nsz", "reassoc"}


@nb.njit(cache=True, nogil=True, fastmath=FLAGS)
def forward(start, stop, x, h, gain, shift, eps, out, stat):
    """Write max(LN(x), 0) + h for the graphs start ... stop - 1, and keep mean and 1 / sd; `h` may serve all graphs."""
    dim = x.shape[2]
    for graph in range(start, stop):
        residual = h[graph if h.shape[0] > 1 else 0]
        for i in range(x.shape[1]):
            row, own, to = x[graph, i], residual[i], out[graph, i]
            total, squares = np.float32(0), np.float32(0)
            for k in range(dim):
                total += row[k]
            mean = total / np.float32(dim)
            for k in range(dim):
                centred = row[k] - mean
                squares += centred * centred
            inverse = np.float32(1) / np.sqrt(squares / np.float32(dim) + eps)
            stat[graph, i, 0], stat[graph, i, 1] = mean, inverse
            for k in range(dim):
                to[k] = max((row[k] - mean) * inverse * gain[k] + shift[k], np.float32(0)) + own[k]


@nb.njit(cache=True, nogil=True, fastmath=FLAGS)
def backward(start, stop, x, grad, gain, shift, stat, grad_x, grad_gain, grad_shift):
    """Gradients of `forward` for x, and for gain and shift summed over the graphs start ... stop - 1."""
    dim = x.shape[2]
    normed, slope = np.empty(dim, np.float32), np.empty(dim, np.float32)
    for graph in range(start, stop):
        for i in range(x.shape[1]):
            row, given, to = x[graph, i], grad[graph, i], grad_x[graph, i]
            mean, inverse = stat[graph, i, 0], stat[graph, i, 1]
            sum_slope, sum_product = np.float32(0), np.float32(0)
            for k in range(dim):
                z = (row[k] - mean) * inverse
                g = given[k] if z * gain[k] + shift[k] > 0 else np.float32(0)
                grad_gain[k] += g * z
                grad_shift[k] += g
                g *= gain[k]
                normed[k], slope[k] = z, g
                sum_slope += g
                sum_product += g * z
            sum_slope /= np.float32(dim)
            sum_product /= np.float32(dim)
            for k in range(dim):
                to[k] = inverse * (slope[k] - sum_slope - normed[k] * sum_product)
