// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Ghost} from "./Ghost.sol";
import {GhostMath} from "./GhostMath.sol";
import {Check, Vm} from "./Vm.sol";

/// @title The course of a game: invariants that no single state shows
/// @notice Looks at the contract's events and views alone, whatever the ghost says. Numbers are the design's invariants.
abstract contract Course {
    IPDFed internal fed;
    Ghost internal ghost;
    IPDFed.Terms internal terms;
    address[] internal actors;
    /// Unix seconds of the block, and its `prevrandao`.
    uint256 internal time = 1_900_000_000;
    bytes32 internal randao;

    /// Remainder of all wei that ever came into the pool, after the steps paid since, times 1e18; and the number of roundings.
    uint256 internal left;
    uint256 internal roundings;
    /// Unix seconds of the deployment, the last advance or the last return of the pool.
    uint256 internal aliveAt;

    struct Payment {
        uint256 time;
        uint256 steps;
    }

    Payment[] internal payments;
    mapping(address => mapping(uint256 => bool)) private drawn;
    mapping(address => mapping(address => IPDFed.Node)) private lastNode;

    function beginCourse(uint256 firstPool) internal {
        (left, roundings, aliveAt) = (firstPool * 1e18, 0, time);
        delete payments;
    }

    /// @dev Events of a call that took effect, and the pool and the frontier before it.
    function followCall(Vm.Log[] memory logs, uint256 poolBefore, int256 frontierBefore) internal {
        uint256 paid = 0;
        for (uint256 i = 0; i < logs.length; ++i) {
            bytes32 name = logs[i].topics[0];
            if (name == IPDFed.ModelSubmitted.selector) followSubmission(logs[i]);
            if (name == IPDFed.JuryDrawn.selector) followDraw(logs[i]);
            if (name == IPDFed.ModelSettled.selector) paid = followSettlement(logs[i]);
            if (name == IPDFed.PoolReclaimed.selector) followReturn(poolBefore);
        }
        if (fed.frontier() != frontierBefore) {
            followAdvance(paid, poolBefore);
        } else if (fed.pool() > poolBefore) {
            left += (fed.pool() - poolBefore) * 1e18;
        }
        followNodes();
    }

    /// @dev 27.
    function followSubmission(Vm.Log memory log) private view {
        (,, uint64 eligible) = abi.decode(log.data, (uint32[], uint32, uint64));
        Check.that(time >= fed.model(0).submittedAt + uint256(terms.enrolment), "27: a model before the opening");
        Check.that(eligible >= terms.electorate, "27: a model for less than the electorate");
    }

    /// @dev 29.
    function followDraw(Vm.Log memory log) private {
        uint256 id = uint256(log.topics[1]);
        Check.that(!drawn[address(fed)][id], "29: a jury was drawn twice");
        drawn[address(fed)][id] = true;
        Check.equal(log.data, abi.encode(randao), "29: the seed is not the block's");
        Check.that(time >= uint256(fed.model(uint32(id)).submittedAt) + 60, "29: a jury was drawn too early");
    }

    /// @dev 25: the model's own gain was reached by more than half of the weight that could have voted.
    function followSettlement(Vm.Log memory log) private view returns (uint256 paid) {
        uint32 id = uint32(uint256(log.topics[1]));
        (,,,, paid) = abi.decode(log.data, (bool, int16, int32, uint256, uint8));
        IPDFed.Model memory seen = fed.model(id);
        Check.that(paid <= seen.advance, "26: more steps were paid than the frontier moved");
        if (seen.advance == 0) return paid;
        uint32[128] memory weights = fed.histogram(id);
        uint256 above = 0;
        for (uint256 bucket = uint256(int256(seen.gain) + 64); bucket < 128; ++bucket) {
            above += weights[bucket];
        }
        uint256 total = GhostMath.larger(seen.eligibleWeight, seen.revealedWeight);
        Check.that(2 * above > total, "25: half of the weight, or less, made a champion");
    }

    /// @dev 26: the pool is what the steps paid leave of it, and no span of time has more of them than its pace allows.
    function followAdvance(uint256 paid, uint256 poolBefore) private {
        aliveAt = time;
        uint256 came = fed.pool() + fed.model(fed.champion()).payout - poolBefore; // fee that joined after the payout
        for (uint256 step = 0; step < paid; ++step) {
            left = left * (ghost.KEEP() / 1e6) / 1e30;
        }
        left += came * 1e18;
        roundings += 1;
        payments.push(Payment(time, paid));
        if (terms.pace == 0) return;
        uint256 sum = 0;
        for (uint256 i = payments.length; i > 0; --i) {
            sum += payments[i - 1].steps;
            uint256 most = 65 * uint256(terms.pace) + 64 * (time - payments[i - 1].time);
            Check.that(sum * terms.pace <= most, "26: too many steps were paid in a span of time");
        }
    }

    /// @dev 28: only after the sunset, and after all models that were born before it are settled.
    function followReturn(uint256 poolBefore) private {
        uint256 until = aliveAt + terms.sunset;
        Check.that(terms.sunset != 0 && time >= until, "28: the pool returned before the sunset");
        uint32 next = fed.nextToSettle();
        bool late = next > fed.modelCount() || fed.model(next).submittedAt >= until;
        Check.that(late, "28: the pool returned before a model that was born in time");
        Check.that(poolBefore != 0 && fed.pool() == 0, "28: not all of the pool returned");
        (left, aliveAt) = (0, time);
    }

    /// @dev 32: an exit that was requested ends with the node.
    function followNodes() private {
        for (uint256 i = 0; i < actors.length; ++i) {
            IPDFed.Node memory before = lastNode[address(fed)][actors[i]];
            IPDFed.Node memory node = fed.node(actors[i]);
            if (before.exitAt != 0 && !before.retired && node.role != IPDFed.Role.None) {
                Check.that(node.exitAt == before.exitAt && !node.retired, "32: an exit came back");
            }
            lastNode[address(fed)][actors[i]] = node;
        }
    }

    /// @dev 26: within pool · 2e-18 + 1 wei a settlement that paid.
    function checkPool(uint256 paidIn) internal view {
        uint256 pool = fed.pool();
        uint256 expected = left / 1e18;
        uint256 slack = (roundings + 1) * (1 + GhostMath.larger(pool, paidIn) * 2 / 1e18);
        bool holds = pool <= expected + slack && expected <= pool + slack;
        Check.that(holds, "26: the pool is not what the steps paid leave of it");
    }
}
