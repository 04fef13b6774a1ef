"""What may leave the hub of points that are somebody's private business, and in which grain."""

from typing import Annotated, Literal

from msgspec import Meta

from drivers.contract import KeyMistake, Keys, PrivacyClass

CLASSES: tuple[PrivacyClass, ...] = ("open", "household", "personal")
"""From what is nobody's business in particular to what is one person's: of several, the last is the strictest."""

PRIVATE = CLASSES[1:]
"""Those to which people agree, or do not."""

Numbers = Annotated[
    Literal["exact", "rounded", "none"],
    Meta(description="How the value leaves: as it is, rounded to `step` (numbers only), or not at all."),
]
Step = Annotated[float, Meta(gt=0, description="What values are rounded to, in the unit of the point.")]
Course = Annotated[
    Literal["full", "hourly", "daily", "none"],
    Meta(description="How the course of the value leaves: as it is, as means of whole hours or days, or not at all."),
]
Text = Annotated[
    Literal["full", "plain"],
    Meta(description="Whether texts are told with what they say of values, or what has happened is said without any."),
]
Names = Annotated[bool, Meta(description="Whether the device, the point and the rule are named.")]


class Grain(Keys, frozen=True, kw_only=True):
    """`[privacy.open]`: what leaves of a point that is nobody's private business; and the base of the other classes."""

    value: Numbers = "exact"
    step: Step = 1.0
    evidence: Course = "full"
    text: Text = "full"
    names: Names = True

    def __post_init__(self) -> None:
        """A text says the value; a course is made of values; and a name may be in any text."""
        if self.text == "full" and self.value != "exact":
            raise KeyMistake("text", f'"full" texts say the value, and `value` is "{self.value}"', '`text = "plain"`')
        if self.evidence == "full" and self.value == "none":
            raise KeyMistake("evidence", '"full" evidence is values, and `value` is "none"', '"hourly", "daily" or "none"')
        if self.text == "full" and not self.names:
            raise KeyMistake("text", '"full" texts name the device, and `names` is false', '`text = "plain"`')


class Household(Grain, frozen=True, kw_only=True):
    """`[privacy.household]`: what leaves of a point that tells how a household lives, such as a door."""

    evidence: Course = "hourly"


class Personal(Grain, frozen=True, kw_only=True):
    """`[privacy.personal]`: what leaves of a point that tells what a person does, such as motion in a bedroom."""

    value: Numbers = "none"
    evidence: Course = "none"
    text: Text = "plain"


class Privacy(Keys, frozen=True, kw_only=True):
    """`[privacy]`: which class a point has that states none, and what leaves of each class."""

    default: Annotated[
        PrivacyClass, Meta(description="The class of a point, where neither it nor its device nor their profile states one.")
    ] = "open"
    open_: Annotated[Grain, Meta(description="What leaves of points that are nobody's private business.")] = Grain()
    household: Annotated[Household, Meta(description="What leaves of points that tell how a household lives.")] = Household()
    personal: Annotated[Personal, Meta(description="What leaves of points that tell what a person does.")] = Personal()

    def of(self, one: PrivacyClass) -> Grain:
        """What leaves of a class."""
        return {"open": self.open_, "household": self.household, "personal": self.personal}[one]
