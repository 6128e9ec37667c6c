"""MOA's forests and neighbours, in a Java machine inside this process; compared where MOA was fetched."""

import functools
import math
from pathlib import Path
from typing import Any

from odl.event import Features, Label, Prediction
from quality_parts.candidate import Candidate
from quality_parts.optional import wanted
from quality_parts.rivals import has_text
from quality_parts.streams import Stream

JARS = Path(__file__).parents[2] / ".odl" / "moa"  # where `make moa-install` puts them
TREES = 30  # unless the name says how many; MOA's own default is 100
VOTE_MAX = 1e300  # its leaves divide by small variances: a vote may be infinite
INSTANCES = "com.yahoo.labs.samoa.instances"
# One core, as every learner here; -Xrs leaves Ctrl-C to Python.
OPTIONS = ("-Xmx2g", "-XX:+UseSerialGC", "-XX:ActiveProcessorCount=1", "-Xrs")


@functools.cache
def java(jars: Path) -> Any:
    """The module jpype with its Java machine running. Raises `SystemExit` saying what is missing."""
    jpype = wanted("jpype", "jpype1")
    if not (found := sorted(map(str, jars.glob("*.jar")))):
        raise SystemExit("no jars of MOA here: make moa-install")
    try:
        jpype.startJVM(*OPTIONS, classpath=found)
    except jpype.JVMNotFoundException as error:
        raise SystemExit(f"no Java here: apt-get install default-jre-headless ({error})") from error
    return jpype


class Moa(Candidate):
    """A classifier of MOA's with its own settings but the number of trees. It takes numbers; missing ones are
    missing to it, too. Its votes, normalised, are taken for probabilities."""

    def __init__(self, stream: Stream, name: str, trees: int | None = None) -> None:
        if stream.task == "regression":
            raise SystemExit("MOA is compared on classes only: choose streams with classes")
        if has_text(stream):
            raise SystemExit(f"MOA is compared on numbers only and '{stream.name}' has text: choose others")
        self._jpype = java(JARS)
        first = next(iter(stream.examples(1))).x
        attribute, array_list = self._class(f"{INSTANCES}.Attribute"), self._class("java.util.ArrayList")
        attributes, classes = array_list(), array_list()
        for field in first:
            attributes.add(attribute(field))
        for label in stream.classes:
            classes.add(label)
        attributes.add(attribute("the label", classes))
        header = self._class(f"{INSTANCES}.Instances")(stream.name, attributes, 0)
        header.setClassIndex(len(first))
        self._header = self._class(f"{INSTANCES}.InstancesHeader")(header)
        self._instance = self._class(f"{INSTANCES}.DenseInstance")
        self._names, self._classes = tuple(first), stream.classes
        self._index = {label: float(number) for number, label in enumerate(stream.classes)}
        self._model = self._class(f"moa.classifiers.{name}")()
        if trees is not None:
            self._model.ensembleSizeOption.setValue(trees)
        self._model.prepareForUse()
        self._model.setModelContext(self._header)

    def predict(self, x: Features) -> Prediction | None:
        """Class -> share of the votes."""
        said = self._model.getVotesForInstance(self._given(x, math.nan))
        votes = [min(vote, VOTE_MAX) for vote in said]
        total = math.fsum(votes)
        if not total > 0:  # nothing learned yet
            return None
        return {label: vote / total for label, vote in zip(self._classes, votes, strict=False)}

    def learn(self, x: Features, y: Label) -> None:
        """Train it; in a forest every tree that chance picks."""
        self._model.trainOnInstance(self._given(x, self._index[str(y)]))

    def _given(self, x: Features, label: float) -> Any:
        values = [math.nan if (value := x.get(name)) is None else float(value) for name in self._names]
        instance = self._instance(1.0, self._jpype.JArray(self._jpype.JDouble)([*values, label]))
        instance.setDataset(self._header)
        return instance

    def _class(self, name: str) -> Any:
        return self._jpype.JClass(name)


def moa_forest(stream: Stream, trees: int = TREES) -> Candidate:
    """Adaptive random forest (Gomes and others 2017)."""
    return Moa(stream, "meta.AdaptiveRandomForest", trees)


def moa_patches(stream: Stream, trees: int = TREES) -> Candidate:
    """Streaming random patches (Gomes and others 2019)."""
    return Moa(stream, "meta.StreamingRandomPatches", trees)


def moa_neighbours(stream: Stream) -> Candidate:
    """k nearest neighbours with self-adjusting memory (Losing and others 2016)."""
    return Moa(stream, "lazy.SAMkNN")
