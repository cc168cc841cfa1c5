"""Encoders whose right verdict is known, written down before any threshold was set.

Each is a function of the true latents that a view sees, `z[variable]`, in the place of a trained network.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from identbox.learning.contrastive import Objective
from identbox.process import mixing as mixings
from identbox.process.distributions import Categorical, Normal, Uniform
from identbox.process.effects import Linear
from identbox.process.heavy_tails import StudentT
from identbox.process.model import Change, Process, Variable
from identbox.process.presets import numerical_simulation

YES, NO, OPEN = "identified", "not identified", "undecided"
Latents = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Case:
    """An encoder on a process, and the right answers."""

    name: str
    process: Callable[[], Process]
    encode: Callable[[Latents], Tensor]
    world: str  # the right answer where encoders can be called on new observations
    arrays: tuple[str, ...]  # the answers that are right from encodings and latents alone
    view: str = "1"
    objective: Objective | None = None
    margins: dict[str, float] = field(default_factory=dict)
    samples: int = 390
    rows: int = 300  # of arrays


def small(**keys):
    return lambda: numerical_simulation(**{"content": 2, "style": 2, "specific": 2, **keys})


def normal_content(covariance, style=2):
    return lambda: Process(
        name="correlated",
        variables=(
            Variable(name="content", role="content", distribution=Normal(dim=len(covariance), covariance=covariance)),
            Variable(name="style", role="style", distribution=Normal(dim=style), change=Change()),
        ),
    )  # fmt: skip


def content_of(distribution, style=None, views=("1", "2"), **variable):
    return lambda: Process(
        name="own",
        variables=(
            Variable(name="content", role="content", distribution=distribution),
            Variable(name="style", role="style", distribution=style or Normal(), change=Change(), **variable),
        ),
        views=views,
    )


def two_classes(what):
    rare = Categorical(classes=("often", "seldom"), probabilities=(0.98, 0.02))
    resample = Change(how="resample")
    content, style = (rare, Normal()) if what == "content" else (Normal(), rare)
    change = Change() if what == "content" else resample
    return lambda: Process(
        name="rare",
        variables=(
            Variable(name="content", role="content", distribution=content),
            Variable(name="style", role="style", distribution=style, change=change),
        ),
    )


def steep_style():
    effect = Linear(matrix=((10.0,),), intercept=(0.0,))
    return content_of(Normal(), effects={"content": effect})()


def classes_and_number():
    return Process(
        name="mixed",
        variables=(
            Variable(name="kind", role="content", distribution=Categorical(classes=("a", "b", "c"))),
            Variable(name="content", role="content", distribution=Normal()),
            Variable(name="style", role="style", distribution=Normal(), change=Change()),
        ),
    )


def student(degrees):
    return StudentT(dim=2, degrees=degrees)


def block(dim, covariance):
    """A covariance with 1 on the diagonal and one number elsewhere."""
    return tuple(tuple(1.0 if i == j else covariance for j in range(dim)) for i in range(dim))


def turn(angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]])


def joined(*parts):
    return torch.cat([part if part.ndim == 2 else part[:, None] for part in parts], dim=1).float()


def network(dim, seed=3):
    drawn = mixings.draw(dim, mixings.Mixing(pool=100), seed=seed, name="case")
    return lambda c: drawn(c.float())


def one_hot(z, k):
    return torch.nn.functional.one_hot(z[:, 0], k).float()


def noise(z, dim=2):
    """Numbers that look like noise, yet are a function of what is specific to the view."""
    return torch.frac(1e3 * z["specific_1"][:, :dim].abs())


C = "content"
# fmt: off
FOUND = [  # the rows of what was found wrong
    Case(name="constant for classes of 0.98 and 0.02", process=two_classes(C),
         encode=lambda z: torch.zeros(len(z[C]), 1), world=NO, arrays=(NO,)),
    Case(name="style of classes of 0.98 and 0.02 beside content", process=two_classes("style"),
         encode=lambda z: joined(z[C], z["style"]), world=NO, arrays=(NO,)),
    Case(name="40 and 40: one style in the place of one content", process=small(content=40, style=40, specific=0),
         encode=lambda z: joined(z[C][:, 1:], z["style"][:, :1]), world=NO, arrays=(NO,)),
    Case(name="5 and 24: content and one style", process=small(content=5, style=24, specific=0),
         encode=lambda z: joined(z[C], z["style"][:, :1]), world=NO, arrays=(NO,)),
    Case(name="content and absolute style", process=small(specific=0),
         encode=lambda z: joined(z[C], z["style"].abs()), world=NO, arrays=(NO,)),
    Case(name="even leak of 3.5%, margin of 2%", process=small(specific=0),
         encode=lambda z: z[C] + 0.19 * (z["style"] ** 2 - 1) / math.sqrt(2), world=NO, arrays=(NO, OPEN),
         margins={"leak": 0.02}),
    Case(name="even leak of 3.5%, margin of 5%", process=small(specific=0),
         encode=lambda z: z[C] + 0.19 * (z["style"] ** 2 - 1) / math.sqrt(2), world=YES, arrays=(YES, OPEN),
         samples=2000),
    Case(name="correlation 0.97, the sum twice", process=normal_content(block(2, 0.97)),
         encode=lambda z: z[C].sum(1, keepdim=True).repeat(1, 2), world=NO, arrays=(NO,)),
    Case(name="correlation 0.97, the sum alone", process=normal_content(block(2, 0.97)),
         encode=lambda z: z[C].sum(1, keepdim=True), world=NO, arrays=(NO,)),
    Case(name="cube", process=small(), encode=lambda z: z[C] ** 3, world=YES, arrays=(YES,)),
    Case(name="sinh", process=small(), encode=lambda z: torch.sinh(2 * z[C]), world=YES, arrays=(YES,)),
    Case(name="cosine, as many dimensions as content", process=small(), encode=lambda z: z[C],
         objective=Objective(similarity="cosine"), world=NO, arrays=(NO,)),
    Case(name="cosine, one more dimension, length from what is specific", process=small(),
         encode=lambda z: joined(z[C], 2 + 0 * z[C][:, 0]) * (1 + z["specific_1"][:, :1] ** 2),
         objective=Objective(similarity="cosine"), world=YES, arrays=(YES,)),
    Case(name="style that is 10 content and noise", process=steep_style, encode=lambda z: z["style"],
         world=NO, arrays=(OPEN,)),
    Case(name="an eighth of each component collapsed", process=small(),
         encode=lambda z: z[C].clamp(min=-1.15), world=NO, arrays=(NO, OPEN), rows=390),
]
MORE = [  # of both kinds
    Case(name="rotation", process=small(), encode=lambda z: z[C] @ turn(0.7), world=YES, arrays=(YES,)),
    Case(name="power 1.5, turned", process=small(),
         encode=lambda z: (z[C].sign() * z[C].abs() ** 1.5) @ turn(0.7), world=YES, arrays=(YES, OPEN)),
    Case(name="random invertible network, 5 dimensions", process=small(content=5),
         encode=lambda z: network(5)(z[C]), world=YES, arrays=(YES, OPEN), samples=4000),
    Case(name="spare dimensions that repeat content", process=small(),
         encode=lambda z: joined(z[C], z[C][:, 0] * z[C][:, 1], torch.sin(2 * z[C][:, 0])),
         world=YES, arrays=(YES, OPEN)),
    Case(name="Student's t, 3 degrees", process=lambda: content_of(student(3))(),
         encode=lambda z: z[C], world=YES, arrays=(YES, OPEN)),
    Case(name="Student's t, 3 degrees, arctangent", process=lambda: content_of(student(3))(),
         encode=lambda z: z[C].atan(), world=YES, arrays=(YES, OPEN)),
    Case(name="third of three views", process=content_of(Normal(dim=2), views=("1", "2", "3")),
         encode=lambda z: z[C] @ turn(0.3), view="3", world=YES, arrays=(YES,)),
    Case(name="1 dimension, exponential", process=small(content=1), encode=lambda z: z[C].exp(),
         world=YES, arrays=(YES,)),
    Case(name="10 dimensions, linear of condition 30", process=small(content=10, specific=0),
         encode=lambda z: (z[C] * torch.logspace(0, 1.5, 10)) @ torch.linalg.qr(
             torch.randn(10, 10, generator=torch.Generator().manual_seed(5))).Q,
         world=YES, arrays=(YES, OPEN)),
    Case(name="distribution function", process=small(), encode=lambda z: torch.special.ndtr(z[C]),
         world=YES, arrays=(YES,)),
    Case(name="smallest eigenvalue 0.02, as it is", process=normal_content(block(2, 0.98)),
         encode=lambda z: z[C], world=YES, arrays=(YES,)),
    Case(name="smallest eigenvalue 0.02, whitened", process=normal_content(block(2, 0.98)),
         encode=lambda z: joined(z[C].sum(1), 10 * (z[C][:, 0] - z[C][:, 1])), world=YES, arrays=(YES,)),
    Case(name="uniform, logit", process=content_of(Uniform(dim=2)),
         encode=lambda z: z[C].clamp(1e-5, 1 - 1e-5).logit(), world=YES, arrays=(YES,)),
    Case(name="5 classes on a circle", process=content_of(Categorical(classes=tuple("abcde"))),
         encode=lambda z: joined((z[C] * 2 * math.pi / 5).cos(), (z[C] * 2 * math.pi / 5).sin()),
         world=YES, arrays=(YES, OPEN), samples=1500),
    Case(name="classes and a number", process=classes_and_number,
         encode=lambda z: joined(one_hot(z["kind"], 3), z[C] * (1 + z["kind"])), world=YES, arrays=(YES, OPEN),
         samples=1500, rows=600),
    Case(name="content that causes style", process=small(causal=True), encode=lambda z: z[C] @ turn(0.4),
         world=YES, arrays=(YES, OPEN)),
    Case(name="a circle by its cosine and sine", process=content_of(Uniform(circular=True)),
         encode=lambda z: joined((2 * math.pi * z[C]).cos(), (2 * math.pi * z[C]).sin()),
         world=YES, arrays=(YES,)),
    Case(name="small numbers far from 0", process=small(), encode=lambda z: 5 + 0.01 * z[C], world=YES, arrays=(YES,)),
    Case(name="content and half of what is specific", process=small(),
         encode=lambda z: z[C] + 0.5 * z["specific_1"], world=NO, arrays=(NO,)),
    Case(name="product with style", process=small(), encode=lambda z: z[C] * (1 + 0.5 * z["style"]),
         world=NO, arrays=(NO, OPEN)),
    Case(name="style where content is large", process=small(),
         encode=lambda z: z[C] + 2 * z["style"] * (z[C][:, :1] > 1), world=NO, arrays=(NO, OPEN)),
    Case(name="a little style in a spare dimension", process=small(),
         encode=lambda z: joined(z[C], z[C][:, 0] + 0.05 * z["style"][:, 0]), world=NO, arrays=(NO, OPEN)),
    Case(name="absolute content", process=small(), encode=lambda z: z[C].abs(), world=NO, arrays=(NO,)),
    Case(name="content modulo 2", process=small(), encode=lambda z: joined(z[C][:, 0], z[C][:, 1] % 2),
         world=NO, arrays=(NO, OPEN)),
    Case(name="smallest eigenvalue 0.02, its direction lost", process=normal_content(block(2, 0.98)),
         encode=lambda z: joined(z[C].sum(1), z[C].sum(1) ** 3), world=NO, arrays=(NO,)),
    Case(name="two of 5 classes merged", process=content_of(Categorical(classes=tuple("abcde"))),
         encode=lambda z: z[C].clamp(max=3).float(), world=NO, arrays=(NO,)),
    Case(name="9 of 10 and noise", process=small(content=10, specific=1),
         encode=lambda z: joined(z[C][:, :9], noise(z, 1)), world=NO, arrays=(NO,)),
    Case(name="Student's t, clipped at 1", process=lambda: content_of(student(3))(),
         encode=lambda z: z[C].clamp(-1, 1), world=NO, arrays=(NO, OPEN)),
    Case(name="Student's t style in content",
         process=lambda: content_of(Normal(dim=2), style=student(3))(),
         encode=lambda z: z[C] + 0.3 * z["style"], world=NO, arrays=(NO,)),
    Case(name="style in the third of three views", process=content_of(Normal(dim=2), views=("1", "2", "3")),
         encode=lambda z: joined(z[C][:, 0], z["style"][:, 0]), view="3", world=NO, arrays=(NO,)),
    Case(name="style that content causes, as it is", process=small(causal=True), encode=lambda z: z["style"],
         world=NO, arrays=(NO, OPEN)),
    Case(name="content rounded to whole numbers", process=small(), encode=lambda z: z[C].round(),
         world=NO, arrays=(NO,)),
    Case(name="noise", process=small(), encode=noise, world=NO, arrays=(NO,)),
    Case(name="a circle by its cosine", process=content_of(Uniform(circular=True)),
         encode=lambda z: (2 * math.pi * z[C]).cos(), world=NO, arrays=(NO,)),
    Case(name="a third of a rare class taken for the other",
         process=content_of(Categorical(classes=("a", "b"), probabilities=(0.9, 0.1))),
         encode=lambda z: joined(z[C][:, 0] * (z["style"][:, 0] > -0.43)), world=NO, arrays=(NO,)),
]
# fmt: on
ALL = [*FOUND, *MORE]
