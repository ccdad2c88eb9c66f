# SPDX-License-Identifier: Apache-2.0
"""Judge frozen encoders on labelled clips: linear and k-NN probes, with intervals, next to untrained encoders."""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bundle.data import (
    CineDataset,
    Datalist,
    Fingerprint,
    FrameCache,
    Leak,
    by_fold,
    check_leakage,
    check_pretraining,
    datalist_content,
    datalist_of,
    describe_transform,
    fingerprints,
    gallery_and_query,
    is_written,
    load_datalist,
    read_training_clips,
    records_from_table,
    write_datalist,
    write_leaks,
)
from bundle.data.leakage import LEAKAGE_FILES
from bundle.errors import InputError, show_input_errors_plainly
from bundle.files import made_folder, sha256_of, written_beside
from bundle.inferers import embed_clips, probe_features, probe_records
from bundle.keys import GALLERY, QUERY, Keys
from bundle.metrics import ProbeResult, markdown_table, summarise
from bundle.networks import Encoder, load_encoder
from bundle.transforms import EvenFramesd, preprocessing

logger = logging.getLogger("probe_encoders")

N_FRAMES = 8
UNTRAINED_NORMALISATION = {"mean": 0.5, "std": 0.25}  # that of the training recipe


@dataclass(frozen=True)
class Job:
    """One encoder to judge: a file, or an architecture with random weights of a seed."""

    name: str
    source: str
    digest: str
    image_size: int
    normalisation: dict[str, Any]
    trained: dict[str, Any] | None = None
    seed: int | None = None
    clips: list[Fingerprint] | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        """The name, with the seed where several seeds share it."""
        return self.name if self.seed is None else f"{self.name}, seed {self.seed}"

    def encoder(self) -> Encoder:
        """The network, on the CPU."""
        if self.seed is None:
            return load_encoder(self.source)[0]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return Encoder(self.source)


def main() -> None:
    """Read the arguments, judge what is not judged yet, write ``results.json`` and ``table.md``."""
    args = _parse()
    output = made_folder(args.output_dir)
    jobs = list(_jobs(args))
    datalist = _datalist(args)
    kept = output / "datalist.json"
    if not args.datalist:
        is_written(kept, datalist.content)  # another one ends it here
    class_names, records = datalist.labels, _items(datalist)
    caches = {
        size: FrameCache(args.cache_dir, preprocessing(size)) for size in sorted({job.image_size for job in jobs})
    }
    records, left_out = _readable(records, caches)
    leaks = _check_leakage(jobs, records, caches, args)
    about = _about(args, records, class_names, left_out)
    # what was judged before stays in the file, also when this run stops half way
    runs = {run["key"]: run for run in _read_runs(output / "results.json")}
    asked: list[str] = []
    for job in jobs:
        key = _key(job, caches[job.image_size], records, class_names)
        known = key in runs
        run = runs[key] if known else _judge(job, caches[job.image_size], records, class_names, args)
        runs[key] = {**run, "key": key, "name": job.name}
        asked += [key] if key not in asked else []
        scores = ", ".join(f"{kind} {probe['per_clip']:.2f}" for kind, probe in runs[key]["probes"].items())
        logger.info(f"{job.title}: balanced accuracy per clip {scores}{' (judged before)' if known else ''}")
        figures = _figures([runs[key] for key in asked])
        if not args.datalist:
            write_datalist(kept, datalist.content)
        _write(output, {"figures": figures, "data": about, "runs": list(runs.values())})
    _keep_leaks(leaks, caches, output)
    print((output / "table.md").read_text(encoding="utf-8"))


def _jobs(args: argparse.Namespace) -> Iterator[Job]:
    """The encoders to judge, the untrained first."""
    trained = [_trained_job(text) for text in args.encoders]
    titles = [job.name for job, named in trained if not named]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        raise InputError(
            f"two encoders would be called {twice[0]!r}: give each a name, as NAME=PATH; one name for several files "
            "says that they are seeds of one method"
        )
    if args.untrained:
        if not args.image_size and not trained:
            raise InputError("--untrained without an encoder to compare with: say --image-size")
        size = args.image_size or trained[0][0].image_size
        name = f"untrained {args.untrained}, {size} pixels"
        for seed in args.seeds:
            yield Job(name, args.untrained, f"torch {torch.__version__}", size, UNTRAINED_NORMALISATION, None, seed)
    yield from (job for job, _ in trained)


def _trained_job(text: str) -> tuple[Job, bool]:
    """The job of an encoder file ``PATH`` or ``NAME=PATH``, and whether it was named."""
    name, equals, path = text.rpartition("=")
    if equals and Path(text).exists():  # a path with an equals sign in it
        name, equals, path = "", "", text
    file = Path(path) / "encoder.safetensors" if Path(path).is_dir() else Path(path)
    _, info = load_encoder(file)
    size = info.get("image_size")
    if not isinstance(size, int) or "normalisation" not in info:
        raise InputError(f"{file}: says no square image size and normalisation; export it with save_encoder")
    name = name or (file.resolve().parent.name if file.stem == "encoder" else file.stem)
    digest = sha256_of(file)
    trained = info.get("trained")
    clips = read_training_clips(file, trained or {})
    return Job(name, str(file), digest, size, info["normalisation"], trained, clips=clips), bool(equals)


def _datalist(args: argparse.Namespace) -> Datalist:
    """The datalist that is named, or one of the labelled rows of the table that have a fold."""
    if args.datalist:
        return load_datalist(args.datalist, args.dataset_dir, allow_leakage=args.allow_leakage)
    table = Path(args.dataset_dir) / "labels.csv"
    records = records_from_table(
        table,
        label_column=args.label_column,
        patient_column=args.group_column,
        fold_column=args.fold_column,
        where=dict(args.where),
    )
    records = [record for record in records if record.get(Keys.LABEL) and Keys.FOLD in record]
    if not records:
        raise InputError(f"{table}: no chosen row has a label and a fold; fill the fold column or name another")
    content = datalist_content({"training": records}, name=Path(args.dataset_dir).resolve().name)
    return datalist_of(content, table, args.dataset_dir)


def _items(datalist: Datalist) -> list[dict[str, Any]]:
    """The labelled clips."""
    if datalist.testing:
        return probe_records(gallery_and_query(datalist.training, datalist.testing))
    return probe_records([*datalist.training, *datalist.validation])


def _readable(records: list[dict[str, Any]], caches: dict[int, FrameCache]) -> tuple[list[dict[str, Any]], list[str]]:
    """Fills the caches; the clips that every encoder can see, and the ids of those left out."""
    skipped = {path for cache in caches.values() for path, _ in cache.fill(records).skipped}
    left_out = [record[Keys.VIDEO_ID] for record in records if record[Keys.IMAGE] in skipped]
    return [record for record in records if record[Keys.IMAGE] not in skipped], left_out


def _check_leakage(
    jobs: list[Job], records: list[dict[str, Any]], caches: dict[int, FrameCache], args: argparse.Namespace
) -> list[Leak]:
    """Nothing is shared between what a probe is fitted on and judged on, nor between the latter and a pretraining.

    Gives back what is, when that is allowed.
    """
    cache = next(iter(caches.values()))
    if any(Keys.PART in record for record in records):
        parts = {part: [record for record in records if record[Keys.PART] == part] for part in (GALLERY, QUERY)}
    else:
        parts = by_fold(records)
    known = fingerprints(parts, cache)
    leaks = check_leakage(known, cache, args.output_dir, args.allow_leakage)
    judged = known.get(QUERY) or [clip for part in known.values() for clip in part]
    checked = []
    for job in jobs:
        ids = {(clip.patient_id, clip.content) for clip in job.clips or []}
        if job.seed is None and ids not in checked:
            checked += [ids] if ids else []  # seeds and methods share their clips
            data = (job.trained or {}).get("data", "")
            leaks += check_pretraining(job.clips, judged, cache, args.output_dir, args.allow_leakage, job.title, data)
    return leaks


def _keep_leaks(leaks: list[Leak], caches: dict[int, FrameCache], output: Path) -> None:
    """Beside the results lies what was allowed to leak, and nothing of a run that was stopped."""
    if leaks:
        write_leaks(leaks, next(iter(caches.values())), output)
    else:
        for name in LEAKAGE_FILES:
            (output / name).unlink(missing_ok=True)


def _judge(
    job: Job, cache: FrameCache, records: list[dict[str, Any]], class_names: list[str], args: argparse.Namespace
) -> dict[str, Any]:
    started = time.perf_counter()
    clips = CineDataset(records, cache, EvenFramesd(n_frames=N_FRAMES, mean=0.0, std=1.0))
    features = embed_clips(job.encoder(), clips, job.normalisation, args.device)
    embedded = time.perf_counter()
    try:
        probes = probe_features(features, records, class_names)
    except InputError as error:
        raise InputError(f"{args.datalist or args.dataset_dir}: {error}") from error
    return {
        **{key: value for key, value in asdict(replace(job, clips=None)).items() if key != "clips"},
        "feature_dim": features[0].shape[1],
        "seconds": {"embed": round(embedded - started, 1), "probe": round(time.perf_counter() - embedded, 1)},
        "intervals": {kind: result.interval().to_dict() for kind, result in probes.items()},
        "probes": {kind: result.to_dict() for kind, result in probes.items()},
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "releases": {name: version(name) for name in ("torch", "monai", "numpy", "scikit-learn")},
    }


def _key(job: Job, cache: FrameCache, records: list[dict[str, Any]], class_names: list[str]) -> str:
    """What makes a judgement the same: weights, clips with all that is known of them, preprocessing, protocol."""
    fields = (Keys.VIDEO_ID, Keys.LABEL, Keys.PATIENT_ID, Keys.PART, Keys.FOLD)
    parts = [
        {"digest": job.digest, "size": job.image_size, "normalisation": job.normalisation, "frames": N_FRAMES},
        {"untrained": job.source, "seed": job.seed} if job.seed is not None else None,
        class_names,
        [[record.get(field) for field in fields] for record in records],
        describe_transform(cache.preprocessing),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _figures(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a method and kind of probe; seeds of a method are averaged, untrained encoders are the baseline."""
    rows = []
    for kind in runs[0]["probes"]:
        methods: dict[str, list[ProbeResult]] = {}
        for run in runs:
            methods.setdefault(run["name"], []).append(ProbeResult.from_dict(run["probes"][kind]))
        untrained = list(dict.fromkeys(run["name"] for run in runs if run["seed"] is not None))
        rows += summarise(methods, untrained)
    return rows


def _about(
    args: argparse.Namespace, records: list[dict[str, Any]], class_names: list[str], left_out: list[str]
) -> dict[str, Any]:
    query = [record for record in records if record.get(Keys.PART) != GALLERY]
    labels = [class_names[record[Keys.LABEL]] for record in query]
    return {
        "name": Path(args.dataset_dir).resolve().name,
        "clips": len(query),
        "groups": len({record[Keys.PATIENT_ID] for record in query}),
        "classes": {name: labels.count(name) for name in class_names},
        "judged": "on the testing part" if len(query) < len(records) else "out of fold",
        "gallery_clips": len(records) - len(query),
        "frames_per_clip": N_FRAMES,
        "left_out": left_out,
    }


def _write(output: Path, content: dict[str, Any]) -> None:
    data = content["data"]
    classes = ", ".join(f"{count} {name}" for name, count in data["classes"].items())
    present = sum(count > 0 for count in data["classes"].values())
    head = (
        f"Balanced accuracy of frozen encoders on {data['name']}, {data['judged']}: {data['clips']} clips ({classes}) "
        f"of {data['groups']} groups, {data['frames_per_clip']} frames a clip; chance {1 / present:.2f}. Intervals: "
        "95 %, bootstrap over groups, stratified by class. Folds: mean and standard deviation, per clip."
    )
    if data["left_out"]:
        head += f" {len(data['left_out'])} clips could not be read and were left out."
    with written_beside(output / "results.json") as beside:
        beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    with written_beside(output / "table.md") as beside:
        beside.write_text(head + "\n\n" + markdown_table(content["figures"]), encoding="utf-8")


def _read_runs(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        return list(json.loads(path.read_text(encoding="utf-8"))["runs"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{path}: not the results of this program ({error}); name another --output-dir") from error


def _where(text: str) -> tuple[str, list[str]]:
    column, equals, values = text.partition("=")
    if not equals or not column.strip():
        raise argparse.ArgumentTypeError(f"{text!r}: expected column=value or column=value,value")
    return column.strip(), [value.strip() for value in values.split(",")]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=f"{__doc__} 8 frames a clip; out of fold by the fold column, or, with a datalist that has a "
        "testing part, trained on its training part. Encoders that are in the results already are not judged again.",
        epilog="example: python scripts/probe_encoders.py runs/train --untrained resnet18 "
        "--dataset-dir data/pocus_lung --where probe=convex --output-dir runs/probe",
    )
    add = parser.add_argument
    add("encoders", nargs="*", metavar="[NAME=]PATH", help="encoder files, or folders that hold encoder.safetensors")
    add("--dataset-dir", required=True, help="the data folder")
    add("--output-dir", required=True, help="where results.json and table.md go")
    add("--datalist", help="a datalist file with folds or with a testing part (default: labels.csv of the data folder)")
    add(
        "--where",
        type=_where,
        action="append",
        default=[],
        metavar="COLUMN=VALUE[,VALUE]",
        help="keep only rows of labels.csv with one of these values; may be given for several columns",
    )
    add("--label-column", default="label", help="column with the class names (default: label)")
    add("--fold-column", default="fold", help="column with the folds; rows without one are left out (default: fold)")
    add("--group-column", help="column that must never be in two folds (default: group_id, else patient_id)")
    add("--untrained", metavar="ARCHITECTURE", help="judge this architecture with random weights too, as the baseline")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds of the random weights (default: 0 to 4)")
    add("--image-size", type=int, help="image size of the untrained encoders (default: that of the first encoder)")
    add(
        "--allow-leakage",
        action="store_true",
        help="go on, with a warning, where clips are shared between folds or with an encoder's pretraining",
    )
    add("--cache-dir", default=".cache/frames", help="decoded frames, shared by all runs (default: .cache/frames)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where encoders run")
    args = parser.parse_args()
    if not args.encoders and not args.untrained:
        parser.error("nothing to judge: name encoder files, --untrained, or both")
    if args.datalist and args.where:
        parser.error("--where chooses rows of labels.csv; a datalist is used as it is")
    return args


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    show_input_errors_plainly()
    main()
