"""Sums over the edges of many graphs that are selections of one shared network, on the CPU.

A graph is a list of rows of the network (eRegulons), then a few edges of its own.
"""

import numba as nb

FLAGS = {"contract", "nsz", "reassoc"}


@nb.njit(cache=True, nogil=True, fastmath=FLAGS)
def _graph_to_genes(graph, rows, network, extra, scale, source, out):
    """Add what one graph sends from its TFs (by sign) to its genes."""
    first, row = rows
    indptr, target, weight, place = network
    extra_first, extra_place, extra_gene, extra_weight = extra
    n_tfs = source.shape[0] // 2
    for i in range(first[graph], first[graph + 1]):
        r = row[i]
        sent, share = source[place[r]], scale[place[r] // n_tfs]
        for e in range(indptr[r], indptr[r + 1]):
            w, to = weight[e] * share[target[e]], out[target[e]]
            for k in range(sent.size):
                to[k] += w * sent[k]
    for e in range(extra_first[graph], extra_first[graph + 1]):
        gene, sent = extra_gene[e], source[extra_place[e]]
        w, to = extra_weight[e] * scale[extra_place[e] // n_tfs, gene], out[gene]
        for k in range(sent.size):
            to[k] += w * sent[k]


@nb.njit(cache=True, nogil=True, fastmath=FLAGS)
def _graph_to_tfs(graph, rows, network, extra, scale, source, out):
    """Add what one graph sends from its genes to its TFs (by sign)."""
    first, row = rows
    indptr, target, weight, place = network
    extra_first, extra_place, extra_gene, extra_weight = extra
    n_tfs = out.shape[0] // 2
    for i in range(first[graph], first[graph + 1]):
        r = row[i]
        to, share = out[place[r]], scale[place[r] // n_tfs]
        for e in range(indptr[r], indptr[r + 1]):
            w, sent = weight[e] * share[target[e]], source[target[e]]
            for k in range(sent.size):
                to[k] += w * sent[k]
    for e in range(extra_first[graph], extra_first[graph + 1]):
        gene, to = extra_gene[e], out[extra_place[e]]
        w, sent = extra_weight[e] * scale[extra_place[e] // n_tfs, gene], source[gene]
        for k in range(sent.size):
            to[k] += w * sent[k]


@nb.njit(cache=True, nogil=True, fastmath=FLAGS)
def to_genes(start, stop, rows, network, extra, scale, source, out, shared_out):
    """Add up over TFs for the graphs start ... stop - 1.

    `scale` and `source` have one part for all graphs, or one per graph; `out` one per graph, or all add to the part `shared_out`.
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
