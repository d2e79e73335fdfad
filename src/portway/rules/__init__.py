"""The rule language of Traefik v3: text to tree, evaluation, and Envoy route matches."""

from portway.rules.error import RuleError
from portway.rules.evaluation import Request, evaluate, explain
from portway.rules.normal_form import Alternative, Literal, alternatives
from portway.rules.parser import parse
from portway.rules.path import normalize_path
from portway.rules.route import CLIENT_IP, is_unconditional, route_match
from portway.rules.tree import And, Matcher, Node, Not, Or, Rule

__all__ = [
    "CLIENT_IP",
    "Alternative",
    "And",
    "Literal",
    "Matcher",
    "Node",
    "Not",
    "Or",
    "Request",
    "Rule",
    "RuleError",
    "alternatives",
    "evaluate",
    "explain",
    "is_unconditional",
    "normalize_path",
    "parse",
    "route_match",
]
