"""The ready-made processes, and the user's own from TOML files.

Multimodal3DIdent is Table 4.1; the numerical simulation is section 8.4.1.
"""

from __future__ import annotations

from collections.abc import Callable

from identbox.errors import IdentboxError
from identbox.process.covariances import Covariance
from identbox.process.distributions import Categorical, Constant, Distribution, Normal, Uniform
from identbox.process.effects import Interval, Linear
from identbox.process.model import Change, Process, Role, Variable

SHAPE_NAMES = ("teapot", "hare", "dragon", "cow", "armadillo", "horse", "head")
X_POSITIONS = ("left", "center", "right")
Y_POSITIONS = ("top", "mid", "bottom")
PALETTE_NAMES = ("tableau", "css4", "xkcd")
PHRASINGS = 5


def multimodal3dident(*, position_causes_color: bool = True) -> Process:
    """Multimodal3DIdent (Table 4.1): shape and position are content, the object's colour is style.

    With ``position_causes_color`` the hue lies in the third that the x-position names (section 4.4);
    without, all factors are independent (Figure A.7). The text sees the colour through the mechanism of
    naming: a palette drawn at random, and the palette's nearest colour.

    >>> from identbox import multimodal3dident
    >>> [variable.name for variable in multimodal3dident().variables if variable.role == "content"]
    ['object_shape', 'object_xpos', 'object_ypos', 'object_zpos']
    """
    caused = (
        ", the object's colour caused by its x-position" if position_causes_color else ", all independent"
    )
    color = Variable(
        name="object_color",
        role="style",
        distribution=Uniform(circular=True),
        effects={"object_xpos": Interval()} if position_causes_color else {},
        change=Change(how="mechanism"),
    )
    return Process(
        name="multimodal3dident" if position_causes_color else "multimodal3dident-independent",
        description=f"the image-text pairs of Table 4.1{caused}",
        views=("image", "text"),
        variables=(
            _content_factor("object_shape", Categorical(classes=SHAPE_NAMES)),
            _content_factor("object_xpos", Categorical(classes=X_POSITIONS)),
            _content_factor("object_ypos", Categorical(classes=Y_POSITIONS)),
            _content_factor("object_zpos", Constant()),
            _specific_factor("image", "object_alpharot", Uniform()),
            _specific_factor("image", "object_betarot", Uniform()),
            _specific_factor("image", "object_gammarot", Uniform()),
            color,
            _specific_factor("image", "spotlight_pos", Uniform()),
            # The hues of light and ground span half a circle, so that their ends are not the same colour.
            _specific_factor("image", "spotlight_color", Uniform()),
            _specific_factor("image", "background_color", Uniform()),
            _specific_factor("text", "color_palette", Categorical(classes=PALETTE_NAMES)),
            _specific_factor("text", "text_phrasing", Categorical(classes=PHRASINGS)),
        ),
    )


def _content_factor(name: str, distribution: Distribution) -> Variable:
    return Variable(name=name, role="content", distribution=distribution)


def _specific_factor(view: str, name: str, distribution: Distribution) -> Variable:
    return Variable(name=name, role="specific", view=view, distribution=distribution)


def numerical_simulation(
    *,
    content: int = 5,
    style: int = 5,
    specific: int = 5,
    change_probability: float = 1.0,
    statistical: bool = False,
    causal: bool = False,
    symmetric: bool = False,
    covariance: Covariance = "wishart",
    discrete: tuple[Role, ...] = (),
    classes: int = 3,
) -> Process:
    """The process of the numerical simulations (section 8.4.1), one row of Table 8.1.

    c ~ N(0, Sigma_c), s ~ N(a + B c, Sigma_s), m_i ~ N(0, Sigma_mi), and in the other view s + epsilon for the
    components that change, epsilon ~ N(0, Sigma_epsilon). ``statistical`` gives every block a random
    ``covariance`` of its own (otherwise the identity), ``causal`` a random a and B (otherwise zero).
    ``specific`` of 0 leaves out the modality-specific blocks (the multi-view setting). The blocks of the roles in
    ``discrete`` have components over ``classes`` classes, uniform and independent (appendix A.6); style of such
    components changes by being drawn anew. Raises IdentboxError where content should cause a discrete style.

    >>> from identbox import numerical_simulation
    >>> process = numerical_simulation(content=2, style=3, specific=1, causal=True)
    >>> [f"{variable.name} ({variable.distribution.dim})" for variable in process.variables]
    ['content (2)', 'style (3)', 'specific_1 (1)', 'specific_2 (1)']
    """
    drawn: Covariance = covariance if statistical else "identity"
    if "style" in discrete and causal:
        raise IdentboxError("causal: expected false where style is discrete, got true")

    def block(role: Role, dim: int) -> Normal | Categorical:
        if role in discrete:
            return Categorical(dim=dim, classes=classes)
        return Normal(dim=dim, covariance=drawn)

    change = Change(how="noise", probability=change_probability, covariance=drawn)
    if "style" in discrete:
        change = Change(how="resample", probability=change_probability)
    variables = [
        Variable(name="content", role="content", distribution=block("content", content)),
        Variable(
            name="style",
            role="style",
            distribution=block("style", style),
            effects={"content": Linear()} if causal else {},
            change=change,
        ),
    ]
    for view in ("1", "2") if specific else ():
        variables.append(
            Variable(
                name=f"specific_{view}", role="specific", view=view, distribution=block("specific", specific)
            )
        )
    return Process(
        name="numerical-simulation",
        description="the numerical simulation of section 8.4.1",
        variables=tuple(variables),
        symmetric=symmetric,
    )


PROCESSES: dict[str, Callable[[], Process]] = {
    "multimodal3dident": multimodal3dident,
    "multimodal3dident-independent": lambda: multimodal3dident(position_causes_color=False),
    "numerical-simulation": numerical_simulation,
}
