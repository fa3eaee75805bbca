// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Federation} from "./Federation.sol";
import {Check} from "./Vm.sol";

/// @title Every bound of the terms, on both sides
contract TermsTest is Federation {
    function accepts(IPDFed.Terms memory t) private {
        (address deployed,) = tryDeploy(t, 0);
        Check.that(deployed != address(0), "terms within their bounds are refused");
    }

    function rejects(IPDFed.Terms memory t, string memory field) private {
        (address deployed, bytes memory reason) = tryDeploy(t, 0);
        Check.that(deployed == address(0), field);
        Check.equal(reason, abi.encodeWithSelector(IPDFed.InvalidTerms.selector, field), field);
    }

    function test_genesis_is_not_zero() external {
        IPDFed.Terms memory t = usualTerms();
        t.genesis = 0;
        rejects(t, "genesis");
    }

    function test_least_stake() external {
        IPDFed.Terms memory t = usualTerms();
        t.commitBond = 0;
        t.minStake = 1e15;
        accepts(t);
        t.minStake = 1e15 - 1;
        rejects(t, "minStake");
    }

    function test_bond_is_at_most_the_least_stake() external {
        IPDFed.Terms memory t = usualTerms();
        t.commitBond = t.minStake;
        accepts(t);
        t.commitBond += 1;
        rejects(t, "commitBond");
    }

    function test_quorum() external {
        IPDFed.Terms memory t = usualTerms();
        t.quorum = 1;
        accepts(t);
        t.quorum = 10_000;
        accepts(t);
        t.quorum = 0;
        rejects(t, "quorum");
        t.quorum = 10_001;
        rejects(t, "quorum");
    }

    function test_release() external {
        IPDFed.Terms memory t = usualTerms();
        t.release = 1;
        accepts(t);
        t.release = 9999;
        accepts(t);
        t.release = 0;
        rejects(t, "release");
        t.release = 10_000;
        rejects(t, "release");
    }

    function test_least_gain() external {
        IPDFed.Terms memory t = usualTerms();
        t.minGain = 63;
        accepts(t);
        t.minGain = 64;
        rejects(t, "minGain");
        t.minGain = 0;
        rejects(t, "minGain");
    }

    function test_royalty_is_at_most_half() external {
        IPDFed.Terms memory t = usualTerms();
        t.royalty = 5000;
        accepts(t);
        t.royalty = 5001;
        rejects(t, "royalty");
    }

    /// @notice E9: a quarter of the commit window, rounded down.
    function test_reveals_have_a_quarter_of_the_commit_window() external {
        IPDFed.Terms memory t = usualTerms();
        for (uint32 window = 100; window <= 103; ++window) {
            (t.commitWindow, t.revealWindow) = (window, 25);
            accepts(t);
            t.revealWindow = 24;
            rejects(t, "revealWindow");
        }
        (t.commitWindow, t.revealWindow) = (104, 25);
        rejects(t, "revealWindow");
    }

    /// @notice A jury needs a random block, and a second to vote in after the minute.
    function test_a_jury_needs_randomness_and_time() external {
        IPDFed.Terms memory t = usualTerms();
        (t.jury, t.commitWindow) = (5, 61);
        accepts(t);
        t.commitWindow = 60;
        rejects(t, "jury");
        t.commitWindow = 61;
        chosen = bytes32(uint256(2 ** 64));
        accepts(t);
        chosen = bytes32(uint256(2 ** 64 - 1));
        rejects(t, "jury");
        (t.jury, t.commitWindow) = (0, 60);
        accepts(t);
    }

    function test_electorate_is_a_weight() external {
        IPDFed.Terms memory t = usualTerms();
        t.electorate = 2 ** 31 - 1;
        accepts(t);
        t.electorate += 1;
        rejects(t, "electorate");
    }

    function test_pace_is_none_or_a_second_a_step() external {
        IPDFed.Terms memory t = usualTerms();
        t.pace = 64;
        accepts(t);
        t.pace = 63;
        rejects(t, "pace");
        t.pace = 1;
        rejects(t, "pace");
        t.pace = type(uint32).max;
        accepts(t);
    }

    function test_sunset_outlasts_the_enrolment() external {
        IPDFed.Terms memory t = usualTerms();
        (t.enrolment, t.sunset) = (1000, 1150);
        accepts(t);
        t.sunset -= 1;
        rejects(t, "sunset");
        (t.enrolment, t.sunset) = (type(uint32).max, type(uint32).max);
        rejects(t, "sunset");
    }

    function test_windows_last_a_second_at_least() external {
        IPDFed.Terms memory t = usualTerms();
        (t.commitWindow, t.revealWindow) = (1, 1);
        accepts(t);
        (t.commitWindow, t.revealWindow) = (0, 1);
        rejects(t, "commitWindow");
        (t.commitWindow, t.revealWindow) = (1, 0);
        rejects(t, "revealWindow");
    }

    function test_unbonding_outlasts_both_windows() external {
        IPDFed.Terms memory t = usualTerms();
        t.unbonding = t.commitWindow + t.revealWindow;
        accepts(t);
        t.unbonding -= 1;
        rejects(t, "unbonding");
        (t.commitWindow, t.revealWindow, t.unbonding) = (type(uint32).max, type(uint32).max / 4, type(uint32).max);
        rejects(t, "unbonding");
    }

    function test_sunset_is_never_or_outlasts_both_windows() external {
        IPDFed.Terms memory t = usualTerms();
        t.sunset = t.commitWindow + t.revealWindow;
        accepts(t);
        t.sunset -= 1;
        rejects(t, "sunset");
        t.sunset = 0;
        t.sponsor = address(0);
        accepts(t);
    }

    function test_a_sunset_needs_a_sponsor() external {
        IPDFed.Terms memory t = usualTerms();
        t.sponsor = address(0);
        rejects(t, "sponsor");
    }

    function test_the_first_pool_has_a_limit() external {
        uint256 tooMuch = uint256(type(uint96).max) + 1;
        (address deployed, bytes memory reason) = tryDeploy(usualTerms(), tooMuch);
        Check.that(deployed == address(0), "holds more than it can count");
        Check.equal(reason, abi.encodeWithSelector(IPDFed.BalanceLimit.selector, tooMuch, tooMuch - 1), "first pool");
        start(usualTerms(), tooMuch - 1);
    }
}
