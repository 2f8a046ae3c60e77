"""SML 1.04 (Smart Message Language): telegrams of German electricity meters from an optical head."""

from drivers.sml.driver import SmlDriver as SmlDriver
