"""One run: train a setting on the cells of a seed and measure it on the held-out ones."""

from __future__ import annotations

import time
from dataclasses import replace

from grnformer_sc.model import GRNFormer, ModelConfig

from .cells import Split, cells_of, unlabelled
from .grid import Run
from .measures import attention_ratios, coregulation, cosine, probes
from .trivial import trivial


def figures(run: Run) -> dict[str, float]:
    """All measures of a run and the CPU seconds that it took, network aside."""
    split = cells_of(run.data, run.seed, run.setting.network)
    start = time.process_time()
    out = trained(run, split) if run.setting.trained else trivial(run.setting.name, split, run.seed)
    return {**out, "cpu_s": time.process_time() - start}


def trained(run: Run, split: Split) -> dict[str, float]:
    """Train and measure. Held-out cells have no label but in `deviance_labelled`, which new types lack."""
    train = split.train.copy()
    GRNFormer.setup_anndata(train)
    model = GRNFormer(train, ModelConfig(**run.setting.options))
    model.train(run.data.epochs, rng=run.seed, early_stopping=False)  # a stop by chance is no difference
    out = {"epochs": float(len(model.history))}
    if model.config.use_grn:
        out |= attention_ratios(model)
    if "truth" in train.uns:
        out["coregulation"] = coregulation(cosine(model.get_gene_embeddings().to_numpy()), train)
    if run.setting.scored_with is not None:
        model.context = replace(model.trained_state()[0], gate=run.setting.scored_with)
    test = unlabelled(split.test)
    out["deviance"] = model.evaluate_masked(test, rng=run.seed).loc["model", "deviance"]
    if run.data.split != "type":
        out["deviance_labelled"] = model.evaluate_masked(split.test, rng=run.seed).loc["model", "deviance"]
    z = (model.get_latent_representation(cells) for cells in (unlabelled(split.train), test))
    return out | probes(*z, split.train, split.test)
