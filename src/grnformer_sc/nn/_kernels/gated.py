"""Sums over the edges of many graphs that are selections of one shared network, on the CPU.

A graph is a list of rows of the network (eRegulons), then a few edges of its own.
"""

import numba as nb
import numpy as np

FLAGS = {"contract", "nsz", "reassoc"}


@nb.njit(cache=True, nogil=True, fastmath=FLAGS)
def _graph_to_genes(graph, rows, network, extra, scale, source, out):
    """Add what one graph sends from its TFs (by sign) to its genes (once, or by sign)."""
    first, row = rows
    indptr, target, weight, place = network
    extra_first, extra_place, extra_gene, extra_weight = extra
    n_tfs = source.shape[0] // 2
    for i in range(first[graph], first[graph + 1]):
        r = row[i]
        sent, share = source[place[r]], scale[place[r] // n_tfs]
        nodes = out[min(place[r] // n_tfs, out.shape[0] - 1)]
        for e in range(indptr[r], indptr[r + 1]):
            w, to = weight[e] * share[target[e]], nodes[target[e]]
            for k in range(sent.size):
                to[k] += w * sent[k]
    for e in range(extra_first[graph], extra_first[graph + 1]):
        gene, sent, sign = extra_gene[e], source[extra_place[e]], extra_place[e] // n_tfs
        w, to = extra_weight[e] * scale[sign, gene], out[min(sign, out.shape[0] - 1), gene]
        for k in range(sent.size):
            to[k] += w * sent[k]


@nb.njit(cache=True, nogil=True, fastmath=FLAGS)
def _graph_to_tfs(graph, rows, network, extra, scale, source, out):
    """Add what one graph sends from its genes (once, or by sign) to its TFs (by sign)."""
    first, row = rows
    indptr, target, weight, place = network
    extra_first, extra_place, extra_gene, extra_weight = extra
    n_tfs = out.shape[0] // 2
    for i in range(first[graph], first[graph + 1]):
        r = row[i]
        to, share = out[place[r]], scale[place[r] // n_tfs]
        nodes = source[min(place[r] // n_tfs, source.shape[0] - 1)]
        for e in range(indptr[r], indptr[r + 1]):
            w, sent = weight[e] * share[target[e]], nodes[target[e]]
            for k in range(sent.size):
                to[k] += w * sent[k]
    for e in range(extra_first[graph], extra_first[graph + 1]):
        gene, to, sign = extra_gene[e], out[extra_place[e]], extra_place[e] // n_tfs
        w, sent = extra_weight[e] * scale[sign, gene], source[min(sign, source.shape[0] - 1), gene]
        for k in range(sent.size):
            to[k] += w * sent[k]


@nb.njit(cache=True, nogil=True, fastmath=FLAGS)
def to_genes(start, stop, rows, network, extra, scale, source, out, shared_out):
    """Add up over TFs for the graphs start ... stop - 1.

    `scale` and `source` have one part for all graphs, or one per graph; `out` has one per graph, or all graphs add to its
    part `shared_out`.
    """
    for graph in range(start, stop):
        own = scale[graph if scale.shape[0] > 1 else 0]
        read = source[graph if source.shape[0] > 1 else 0]
        _graph_to_genes(graph, rows, network, extra, own, read, out[graph if shared_out < 0 else shared_out])


@nb.njit(cache=True, nogil=True, fastmath=FLAGS)
def to_tfs(start, stop, rows, network, extra, scale, source, out, shared_out):
    """Add up over genes for the graphs start ... stop - 1, else as `to_genes`."""
    for graph in range(start, stop):
        own = scale[graph if scale.shape[0] > 1 else 0]
        read = source[graph if source.shape[0] > 1 else 0]
        _graph_to_tfs(graph, rows, network, extra, own, read, out[graph if shared_out < 0 else shared_out])


@nb.njit(cache=True, nogil=True, fastmath=FLAGS)
def shared_to_tfs(rows, network, source, sums, out):
    """Add up over genes that are the same in all graphs: once per row of the network (`sums`), then row by row."""
    first, row = rows
    indptr, target, weight, place = network
    n_tfs, used = out.shape[1] // 2, np.zeros(sums.shape[0], np.bool_)
    for graph in range(first.size - 1):
        for i in range(first[graph], first[graph + 1]):
            r, to = row[i], out[graph, place[row[i]]]
            total = sums[r]
            if not used[r]:
                used[r] = True
                nodes = source[min(place[r] // n_tfs, source.shape[0] - 1)]
                for e in range(indptr[r], indptr[r + 1]):
                    w, sent = weight[e], nodes[target[e]]
                    for k in range(total.size):
                        total[k] += w * sent[k]
            for k in range(total.size):
                to[k] += total[k]


@nb.njit(cache=True, nogil=True, fastmath=FLAGS)
def shared_to_genes(rows, network, source, sums, out):
    """Transpose of `shared_to_tfs`."""
    first, row = rows
    indptr, target, weight, place = network
    n_tfs, used = source.shape[1] // 2, np.zeros(sums.shape[0], np.bool_)
    for graph in range(first.size - 1):
        for i in range(first[graph], first[graph + 1]):
            total, sent = sums[row[i]], source[graph, place[row[i]]]
            used[row[i]] = True
            for k in range(total.size):
                total[k] += sent[k]
    for r in np.flatnonzero(used):
        nodes, total = out[min(place[r] // n_tfs, out.shape[0] - 1)], sums[r]
        for e in range(indptr[r], indptr[r + 1]):
            w, to = weight[e], nodes[target[e]]
            for k in range(total.size):
                to[k] += w * total[k]


@nb.njit(cache=True, nogil=True)
def gene_degrees(rows, network, extra, n_tfs, out):
    """Add the weights of the edges of every gene, by sign."""
    first, row = rows
    indptr, target, weight, place = network
    extra_first, extra_place, extra_gene, extra_weight = extra
    for graph in range(first.size - 1):
        for i in range(first[graph], first[graph + 1]):
            own = out[graph, place[row[i]] // n_tfs]
            for e in range(indptr[row[i]], indptr[row[i] + 1]):
                own[target[e]] += weight[e]
        for e in range(extra_first[graph], extra_first[graph + 1]):
            out[graph, extra_place[e] // n_tfs, extra_gene[e]] += extra_weight[e]
