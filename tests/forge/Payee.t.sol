// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Journeys} from "./Journeys.sol";
import {Check} from "./Vm.sol";

/// @title Whose money, and who may act: payees, reveals by others, exits
contract PayeeTest is Journeys {
    address private constant VAULT = address(0xcafe);

    function usualStart() private {
        start(usualTerms(), 10e18);
        joinAll(4);
    }

    function notPayee(address account, address payee) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IPDFed.NotPayee.selector, account, payee);
    }

    function setPayee(address account, address payee) private pure returns (bytes memory) {
        return abi.encodeCall(IPDFed.setPayee, (account, payee));
    }

    function exit(address account) private pure returns (bytes memory) {
        return abi.encodeCall(IPDFed.requestExit, (account));
    }

    function claim(address account) private pure returns (bytes memory) {
        return abi.encodeCall(IPDFed.claimStake, (account));
    }

    /// @notice 31: only the payee in force names the next one and withdraws, and the account itself no longer can.
    function test_31_only_the_payee_in_force_withdraws() external {
        usualStart();
        address account = actors[1];
        bytes memory take = abi.encodeCall(IPDFed.withdraw, (account, actors[2]));
        refused(VAULT, 0, setPayee(account, VAULT), notPayee(account, account));
        refused(account, 0, setPayee(account, address(0)), abi.encodeWithSelector(IPDFed.InvalidRecipient.selector, address(0)));
        must(account, setPayee(account, VAULT));
        checkAccount(account);
        Check.equal(uint160(fed.payee(account)), uint160(VAULT), "payee");
        refused(account, 0, setPayee(account, account), notPayee(account, VAULT));
        must(account, exit(account));
        wait(terms.unbonding);
        must(VAULT, claim(account));
        Check.equal(fed.credit(account), 1e18, "the credit is the account's");
        refused(account, 0, take, notPayee(account, VAULT));
        refused(actors[2], 0, take, notPayee(account, VAULT));
        bytes memory nothing = abi.encodeWithSelector(IPDFed.NothingToWithdraw.selector, VAULT);
        refused(VAULT, 0, abi.encodeCall(IPDFed.withdraw, (VAULT, VAULT)), nothing);
        must(VAULT, take);
        Check.equal(actors[2].balance, 1e18, "to whom the payee names");
        must(VAULT, setPayee(account, account));
        refused(VAULT, 0, setPayee(account, VAULT), notPayee(account, account));
        checkAccount(account);
    }

    /// @notice A payee needs no node, and outlasts one.
    function test_31_a_payee_needs_no_node() external {
        usualStart();
        must(actors[5], setPayee(actors[5], VAULT));
        must(actors[0], setPayee(actors[0], VAULT));
        must(VAULT, exit(actors[0]));
        wait(terms.unbonding);
        must(VAULT, claim(actors[0]));
        join(0, 1e18);
        Check.equal(uint160(fed.payee(actors[0])), uint160(VAULT), "as before");
    }

    /// @notice A lost voting key costs no stake: account or payee leave and claim; nobody else, not even for the stranger.
    function test_account_or_payee_leave() external {
        usualStart();
        must(actors[1], setPayee(actors[1], VAULT));
        refused(actors[2], 0, exit(actors[1]), notPayee(actors[1], VAULT));
        refused(actors[2], 0, exit(actors[5]), notPayee(actors[5], actors[5]));
        refused(actors[5], 0, exit(actors[5]), abi.encodeWithSelector(IPDFed.NotRegistered.selector, actors[5]));
        must(VAULT, exit(actors[1]));
        must(actors[2], exit(actors[2]));
        wait(terms.unbonding);
        refused(actors[2], 0, claim(actors[1]), notPayee(actors[1], VAULT));
        must(actors[1], claim(actors[1]));
        must(actors[2], claim(actors[2]));
    }

    /// @notice 32: an exit is final, and only a retired node returns.
    function test_32_an_exit_never_returns() external {
        usualStart();
        bytes memory back = abi.encodeCall(IPDFed.cancelExit, ());
        bytes memory reason = abi.encodeWithSelector(IPDFed.NotRetired.selector, actors[1]);
        refused(actors[1], 0, back, reason);
        must(actors[1], exit(actors[1]));
        refused(actors[1], 0, back, reason);
        refused(actors[5], 0, back, abi.encodeWithSelector(IPDFed.NotRegistered.selector, actors[5]));
        heardWithout(2);
        must(SPONSOR, abi.encodeCall(IPDFed.retire, (actors[2])));
        Check.that(fed.node(actors[2]).retired, "retired");
        uint256 until = time + terms.unbonding;
        reason = abi.encodeWithSelector(IPDFed.NodeExiting.selector, actors[2], until);
        refused(actors[2], 0, exit(actors[2]), reason);
        must(actors[2], back);
        Check.that(!fed.node(actors[2]).retired, "and back");
        must(actors[2], exit(actors[2]));
        reason = abi.encodeWithSelector(IPDFed.NotRetired.selector, actors[2]);
        refused(actors[2], 0, back, reason);
        checkAccount(actors[2]);
    }

    /// @notice A retired node may leave for good: it claims its stake when its time is over.
    function test_32_a_retired_node_claims_its_stake() external {
        usualStart();
        heardWithout(2);
        must(SPONSOR, abi.encodeCall(IPDFed.retire, (actors[2])));
        wait(terms.unbonding - 1);
        bytes memory reason = abi.encodeWithSelector(IPDFed.StakeLocked.selector, actors[2], time + 1);
        refused(actors[2], 0, claim(actors[2]), reason);
        wait(1);
        must(actors[2], claim(actors[2]));
        join(2, 1e18);
        Check.that(!fed.node(actors[2]).retired, "a new node");
        checkAccount(actors[2]);
    }

    /// @notice 30: who reveals a vote changes nothing: two games that differ in the callers end alike.
    function testFuzz_30_a_reveal_by_another_is_the_voters(uint256 luck) external {
        bytes32[2] memory ends;
        for (uint256 other = 0; other < 2; ++other) {
            usualStart();
            uint32 id = submit(0);
            wait(1);
            for (uint256 i = 1; i < 4; ++i) {
                commit(i, id, int256(luck >> (8 * i) & 127) - 64);
            }
            for (uint256 i = 1; i < 4; ++i) {
                address caller = other == 0 ? actors[i] : luck >> (40 + i) & 1 == 0 ? VAULT : actors[(i + 1) % 4];
                must(caller, revealCall(id, actors[i]));
                checkAccount(actors[i]);
            }
            settle(id);
            must(other == 0 ? actors[1] : VAULT, abi.encodeCall(IPDFed.claimFees, (actors[1], ids(id))));
            ends[other] = stateOf(id);
        }
        Check.that(ends[0] == ends[1], "30: who reveals makes a difference");
    }

    function stateOf(uint32 id) private view returns (bytes32 digest) {
        IPDFed.Model memory seen = fed.model(id);
        (seen.submittedAt, seen.revealsOpenAt) = (0, 0);
        digest = keccak256(abi.encode(fed.ledger(), seen, fed.histogram(id), fed.champion()));
        for (uint256 i = 0; i < 4; ++i) {
            IPDFed.Node memory node = fed.node(actors[i]);
            node.joinedAt = 0;
            IPDFed.BallotState state = fed.ballot(id, actors[i]).state;
            digest = keccak256(abi.encode(digest, node, fed.credit(actors[i]), state));
        }
    }

    /// @notice 30: a reveal by another is no activity of the voter, nor of the caller.
    function test_30_a_reveal_is_nobodys_activity() external {
        start(usualTerms(), 10e18);
        joinAll(4);
        uint32 id = submit(0);
        wait(1);
        commit(1, id, 3);
        uint256 acted = time;
        wait(99);
        must(actors[2], revealCall(id, actors[1]));
        wait(terms.unbonding);
        uint256 heardSince = fed.model(0).submittedAt;
        bytes memory reason = abi.encodeWithSelector(
            IPDFed.StillActive.selector, actors[1], acted, heardSince, acted + terms.unbonding
        );
        refused(SPONSOR, 0, abi.encodeCall(IPDFed.retire, (actors[1])), reason);
    }
}
