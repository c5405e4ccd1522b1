"""Random fleets for Hypothesis (which is not among the requirements of `deploytools[testing]`): all of them valid."""

from hypothesis import strategies as st

from deploytools.fleet import RESERVED_TIER_NAMES, Autoscale, Deploy, Fleet, Resources, Tier

words = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
tier_names = st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True).filter(lambda name: name not in RESERVED_TIER_NAMES)
resources = st.builds(
    Resources,
    cpus=st.floats(0.1, 64),
    memory=st.builds("{}{}".format, st.integers(1, 9999), st.sampled_from("MG")),
)


texts = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=20)
deploys = st.builds(
    Deploy,
    environment=st.dictionaries(st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True), texts, max_size=3),
    volumes=st.lists(words.map(lambda word: f"{word.replace('_', '0')}:/srv/{word}"), max_size=2, unique=True).map(
        tuple
    ),
    labels=st.dictionaries(words.map("example.org/{}".format).filter(lambda word: word[-1] != "_"), words, max_size=2),
)


@st.composite
def valid_tiers(draw: st.DrawFn, name: str) -> Tier:
    """Make a tier of that name."""
    smallest, ordinary, largest = sorted(draw(st.lists(st.integers(1, 64), min_size=3, max_size=3)))
    endings = draw(st.lists(words.map("{}.*".format) | words, min_size=1, max_size=4, unique=True))
    tier: Tier = draw(
        st.builds(
            Tier,
            name=st.just(name),
            queue=st.just(f"{name}.queue"),
            tasks=st.just(tuple(f"shop.{name}.{number}.{ending}" for number, ending in enumerate(endings))),
            start_within_seconds=st.floats(0.001, 86_400),
            concurrency=st.just(ordinary),
            autoscale=st.just(Autoscale(min=smallest, max=largest)),
            time_limit_seconds=st.integers(1, 86_400),
            max_tasks_per_child=st.integers(1, 10_000),
            prefetch_multiplier=st.integers(1, 8),
            replicas=st.integers(1, 16),
            nice=st.integers(0, 19),
            preload=st.lists(words, max_size=2).map(tuple),
            resources=st.none() | resources,
            deploy=deploys,
        )
    )
    return tier


@st.composite
def valid_fleets(draw: st.DrawFn) -> Fleet:
    """Make a fleet of one to four tiers."""
    names = draw(st.lists(tier_names, min_size=1, max_size=4, unique=True))
    return Fleet(
        app=draw(st.sampled_from(["shop", "shop.tasks:app"])),
        default_tier=draw(st.sampled_from(names)),
        tiers=tuple(draw(valid_tiers(name)) for name in names),
        deploy=draw(deploys),
        workload=draw(st.sampled_from([None, "shop.workload:source"])),
    )
