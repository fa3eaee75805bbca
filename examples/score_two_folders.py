# SPDX-License-Identifier: Apache-2.0
"""Score generated pictures against real ones: quality and copies, without chain, store or account.

    python examples/score_two_folders.py real-pictures/ generated-pictures/

Copies are looked for in one half of the real pictures; the other half is the FID's test set. The scoring models are trained on
the real pictures once and kept in --scorers; a task has its own, in the genesis bundle's `scoring/`.
"""

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from pdfed.data import classes_in, load, split
from pdfed.errors import PDFedError
from pdfed.scoring import Ruler, Scorers, auth_pct, fld, frechet_distance, make_scorers, noise_fid_scale
from pdfed.spec import Images, Scoring


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("real", help="folder of real pictures, one sub-folder per class or none; or a data set (docs/data.md)")
    arguments.add_argument("generated", help="folder of generated pictures, the same classes")
    arguments.add_argument("--scorers", type=Path, default=Path(".pdfed/scorers"), help="folder of the scoring models")
    arguments.add_argument("--size", type=int, default=32, help="side in pixels at which pictures are compared")
    arguments.add_argument("--images", type=int, default=60_000, help="pictures seen when the scoring models are trained")
    options = arguments.parse_args()

    images = Images(size=options.size, channels=3, classes=classes_in(options.real))
    scoring = Scoring(training_images=options.images)
    real, generated = load(options.real, images), load(options.generated, images)
    train, test = split(real, test_share=0.5, seed=0)

    quality = make_scorers(train.images, train.labels, test.images, scoring, options.scorers, seed=0, progress=show)
    print(f"\n{quality.markdown()}")
    scorers = Scorers.load(options.scorers, scoring, images)
    scoring = scoring.model_copy(update={"fid_scale": noise_fid_scale(scorers, train.images)})

    score = Ruler(scorers, scoring, train.images, train.labels, test.images).score(generated.images, generated.labels)
    features = [scorers.fingerprinter.fingerprints(part.images) for part in (train, test, generated)]
    print(f"Q-N score  {score.value:10.2f}   lower is better")
    print(f"FID        {score.fid:10.2f}   on fingerprints, pure noise = 1000")
    print(f"copies     {len(score.pairs):10d}   of {score.n_generated} generated pictures")
    print(f"Fréchet    {frechet_distance(features[1], features[2]):10.4f}   unscaled")
    print(f"FLD        {fld(*features):10.2f}   lower is better")
    print(f"AuthPct    {auth_pct(features[0], features[2]):10.1f}   % of generated pictures that are no near-copies")
    for pair in score.pairs[:5]:
        print(f"  generated picture {pair.sample} copies training picture {pair.training} (verifier {pair.score:.2f})")


def show(model: str, share: float) -> None:
    print(f"\rtraining the {model}: {share:4.0%}", end="", flush=True)


if __name__ == "__main__":
    try:
        main()
    except (PDFedError, ValidationError) as fault:
        sys.exit(f"Error: {fault}")
