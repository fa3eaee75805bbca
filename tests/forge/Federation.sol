// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IPDFed} from "../../contracts/IPDFed.sol";
import {Recipient} from "../../contracts/test/Recipient.sol";
import {Course} from "./Course.sol";
import {Ghost} from "./Ghost.sol";
import {Check, Vm, vm} from "./Vm.sol";

/// @title The contract and its ghost (a second implementation), driven in lockstep
/// @notice Every call made here runs on both. They must answer alike to the byte (results, errors with their figures),
/// emit the same events, and agree on the books, to the wei. Numbers in comments and texts are the design's invariants.
abstract contract Federation is Course {
    uint256 internal constant ETHER = 1e18;
    uint64 internal constant QN = 50_000_000;
    address internal constant SPONSOR = address(0x5b0450);

    Recipient internal moody;

    uint256 internal height = 1000;
    /// `prevrandao` of the next blocks; 0: another in every block.
    bytes32 internal chosen;
    uint256 internal paidIn;
    uint256 internal paidOut;
    int256 internal lastFrontier;
    /// The last phase seen of each model.
    mapping(address => mapping(uint256 => uint256)) internal lastPhase;

    /// What a voter committed to.
    struct Secret {
        IPDFed.Score score;
        bytes32 salt;
    }

    mapping(uint256 => mapping(address => Secret)) internal secrets;

    function usualTerms() internal pure returns (IPDFed.Terms memory) {
        return IPDFed.Terms({
            genesis: keccak256("genesis"),
            minStake: 1e18,
            submissionFee: 12e15,
            commitBond: 30e15,
            quorum: 5000,
            release: 2500,
            minGain: 2,
            jury: 0,
            royalty: 1000,
            commitWindow: 100,
            revealWindow: 50,
            unbonding: 1000,
            sunset: 5000,
            sponsor: SPONSOR,
            electorate: 0,
            enrolment: 0,
            pace: 0
        });
    }

    // -------------------------------------------------------------------------------------------------- deployment

    /// @dev Six actors, the last one a contract whose behaviour on payments can be set, and a federation with a first pool.
    function start(IPDFed.Terms memory t, uint256 firstPool) internal {
        if (address(moody) == address(0)) {
            bytes memory creation = vm.getCode("Recipient.sol:Recipient");
            address made;
            assembly {
                made := create(0, add(creation, 32), mload(creation))
            }
            moody = Recipient(payable(made));
            for (uint256 i = 0; i < 5; ++i) {
                actors.push(address(uint160(uint256(keccak256(abi.encode("actor", i))))));
            }
            actors.push(made);
        }
        (address deployed, bytes memory reason) = tryDeploy(t, firstPool);
        if (deployed == address(0)) {
            assembly {
                revert(add(reason, 32), mload(reason))
            }
        }
        fed = IPDFed(deployed);
        terms = t;
        clock();
        ghost = new Ghost{value: firstPool}(deployed, t);
        ghost.refuse(deployed, true);
        (paidIn, paidOut, lastFrontier) = (firstPool, 0, 0);
        beginCourse(firstPool);
        same(abi.encodeCall(IPDFed.terms, ()));
        same(abi.encodeCall(IPDFed.opensAt, ()));
        checkVotes(0);
        checkBooks();
    }

    function tryDeploy(IPDFed.Terms memory t, uint256 firstPool) internal returns (address deployed, bytes memory reason) {
        bytes memory creation = abi.encodePacked(vm.getCode("PDFed.sol:PDFed"), abi.encode(t));
        vm.deal(address(this), 2 * firstPool);
        clock();
        assembly {
            deployed := create(firstPool, add(creation, 32), mload(creation))
            if iszero(deployed) {
                reason := mload(0x40)
                mstore(reason, returndatasize())
                returndatacopy(add(reason, 32), 0, returndatasize())
                mstore(0x40, add(add(reason, 64), returndatasize()))
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------- calls

    function clock() internal {
        vm.warp(time);
        vm.roll(height);
        randao = chosen == 0 ? keccak256(abi.encode("randao", height)) : chosen;
        vm.prevrandao(randao);
    }

    /// @dev Moves time forward, with a block every twelve seconds, at least one.
    function wait(uint256 secs) internal {
        time += secs;
        if (secs != 0) height += 1 + secs / 12;
        clock();
    }

    function act(address who, bytes memory data) internal returns (bool) {
        return act(who, 0, data);
    }

    /// @dev Calls both; they must answer and log alike. Returns true if the call took effect.
    function act(address who, uint256 value, bytes memory data) internal returns (bool done) {
        clock();
        uint256 poolBefore = fed.pool();
        int256 frontierBefore = fed.frontier();
        bytes memory books = abi.encode(fed.ledger());
        address payee = bytes4(data) == IPDFed.withdraw.selector ? fed.payee(accountIn(data)) : address(0);
        bytes memory answer;
        Vm.Log[] memory logs;
        (done, answer, logs) = callOne(address(fed), who, value, data);
        (bool ghostDid, bytes memory expected, Vm.Log[] memory ghostLogs) = callOne(address(ghost), who, value, data);
        Check.equal(answer, expected, done ? "the ghost answers otherwise" : "the contract refuses otherwise");
        Check.that(done == ghostDid, "one of the two refuses");
        // The logs of a refused call are recorded, too, and mean nothing.
        if (done) {
            compareLogs(logs, ghostLogs);
            paidIn += value;
            if (bytes4(data) == IPDFed.withdraw.selector) {
                paidOut += withdrawn(logs);
                Check.that(who == payee, "31: another than the payee withdrew");
            }
            if (bytes4(data) == IPDFed.setPayee.selector) {
                Check.equal(abi.encode(fed.ledger()), books, "31: a new payee moved money");
            }
            followCall(logs, poolBefore, frontierBefore);
        }
        checkBooks();
    }

    /// @dev The first argument of a call, an account.
    function accountIn(bytes memory data) private pure returns (address account) {
        assembly {
            account := mload(add(data, 36))
        }
    }

    /// @dev A call that must succeed.
    function must(address who, uint256 value, bytes memory data) internal {
        Check.that(act(who, value, data), "refused, though nothing speaks against it");
    }

    function must(address who, bytes memory data) internal {
        must(who, 0, data);
    }

    /// @dev A call that must fail with exactly this error.
    function refused(address who, uint256 value, bytes memory data, bytes memory reason) internal {
        clock();
        vm.deal(who, value);
        vm.prank(who);
        (bool done, bytes memory answer) = address(fed).call{value: value}(data);
        Check.that(!done, "done, though it must be refused");
        Check.equal(answer, reason, "refused for another reason");
        act(who, value, data);
    }

    function callOne(address target, address who, uint256 value, bytes memory data)
        private
        returns (bool done, bytes memory answer, Vm.Log[] memory logs)
    {
        vm.deal(who, value);
        vm.recordLogs();
        vm.prank(who);
        (done, answer) = target.call{value: value}(data);
        logs = vm.getRecordedLogs();
    }

    function compareLogs(Vm.Log[] memory logs, Vm.Log[] memory expected) private pure {
        Check.equal(logs.length, expected.length, "number of events");
        for (uint256 i = 0; i < logs.length; ++i) {
            Check.equal(abi.encode(logs[i].topics, logs[i].data), abi.encode(expected[i].topics, expected[i].data), "event");
        }
    }

    /// @dev The amount that the `Withdrawn` event of a withdrawal names.
    function withdrawn(Vm.Log[] memory logs) private pure returns (uint256) {
        return abi.decode(logs[0].data, (uint256));
    }

    // ------------------------------------------------------------------------------------------------------ checks

    /// @dev A view must return the same on both.
    function same(bytes memory view_) internal view returns (bytes memory answer) {
        bool done;
        bytes memory expected;
        (done, answer) = address(fed).staticcall(view_);
        bool ghostDid;
        (ghostDid, expected) = address(ghost).staticcall(view_);
        Check.that(done == ghostDid, "a view fails");
        Check.equal(answer, expected, nameOf(bytes4(view_)));
    }

    function nameOf(bytes4 view_) private pure returns (string memory) {
        if (view_ == IPDFed.activeWeight.selector) return "3: activeWeight";
        if (view_ == IPDFed.node.selector) return "4: node";
        if (view_ == IPDFed.modelCount.selector) return "5: modelCount";
        if (view_ == IPDFed.model.selector) return "7: model";
        if (view_ == IPDFed.ballot.selector) return "8: ballot";
        if (view_ == IPDFed.histogram.selector) return "10: histogram";
        if (view_ == IPDFed.ledger.selector) return "1: ledger";
        if (view_ == IPDFed.credit.selector) return "17: credit";
        if (view_ == IPDFed.payableSteps.selector) return "26: payableSteps";
        if (view_ == IPDFed.opensAt.selector) return "27: opensAt";
        if (view_ == IPDFed.payee.selector) return "31: payee";
        if (view_ == IPDFed.nextToSettle.selector) return "24: nextToSettle";
        return "a view";
    }

    /// @dev After every call.
    function checkBooks() internal {
        IPDFed.Ledger memory books = abi.decode(same(abi.encodeCall(IPDFed.ledger, ())), (IPDFed.Ledger));
        uint256 sum = books.stakes + books.pool + books.credits + books.lockedFees + books.lockedRoyalties;
        Check.equal(address(fed).balance, sum + ghost.forced(), "1: the books are not the balance");
        Check.equal(sum + paidOut, paidIn, "2: paid in is not paid out and held");
        same(abi.encodeCall(IPDFed.activeWeight, ())); // 3
        same(abi.encodeCall(IPDFed.pool, ()));
        same(abi.encodeCall(IPDFed.modelCount, ())); // 5
        same(abi.encodeCall(IPDFed.nextToSettle, ())); // 24
        same(abi.encodeCall(IPDFed.payableSteps, ())); // 26
        uint32 champion = abi.decode(same(abi.encodeCall(IPDFed.champion, ())), (uint32));
        int256 frontier = abi.decode(same(abi.encodeCall(IPDFed.frontier, ())), (int32));
        Check.that(frontier >= lastFrontier, "13: the frontier fell");
        Check.equal(fed.model(champion).level, frontier, "13: the champion's level is not the frontier");
        lastFrontier = frontier;
    }

    /// @dev 3, 4, 31: all views of an account.
    function checkAccount(address account) internal view {
        same(abi.encodeCall(IPDFed.node, (account)));
        same(abi.encodeCall(IPDFed.credit, (account)));
        same(abi.encodeCall(IPDFed.payee, (account)));
    }

    /// @dev 5, 6, 7, 11, 24: all views of a model.
    function checkModel(uint32 id) internal returns (IPDFed.Model memory seen) {
        seen = abi.decode(same(abi.encodeCall(IPDFed.model, (id))), (IPDFed.Model));
        Check.that(seen.parent < id || id == 0, "5: a parent is no older");
        Check.that(uint256(seen.phase) >= lastPhase[address(fed)][id], "24: a phase went back");
        lastPhase[address(fed)][id] = uint256(seen.phase);
    }

    /// @dev 8, 10: and of its ballots.
    function checkVotes(uint32 id) internal {
        IPDFed.Model memory seen = checkModel(id);
        uint32[128] memory weights = abi.decode(same(abi.encodeCall(IPDFed.histogram, (id))), (uint32[128]));
        uint256 sum = 0;
        for (uint256 bucket = 0; bucket < 128; ++bucket) {
            sum += weights[bucket];
        }
        Check.equal(sum, seen.revealedWeight, "10: the histogram is not the revealed weight");
        for (uint256 i = 0; i < actors.length; ++i) {
            same(abi.encodeCall(IPDFed.ballot, (id, actors[i])));
        }
        Check.equal(uint256(fed.ballot(id, seen.author).state), 0, "8: the author voted");
        same(abi.encodeCall(IPDFed.phase, (id)));
    }

    /// @dev Every account and every model, at the end, and the pool.
    function checkAll() internal {
        clock();
        for (uint256 i = 0; i < actors.length; ++i) {
            checkAccount(actors[i]);
        }
        checkAccount(SPONSOR);
        for (uint32 id = 0; id <= fed.modelCount(); ++id) {
            checkVotes(id);
        }
        checkPool(paidIn);
    }
}
