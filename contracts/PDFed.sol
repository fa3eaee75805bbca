// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Multicall} from "@openzeppelin/contracts/utils/Multicall.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IPDFed} from "./IPDFed.sol";

/// @title PDFed
/// @notice See `IPDFed` for purpose, assumption and units. This file documents the O(1) bookkeeping.
///
/// Median. The votes of a model are a histogram of 128 weights, eight to a slot: a reveal adds to one, settlement walks 16
/// slots. Weights are at most 31 bits (`_MAX_ACTIVE_WEIGHT`), a model's committed weight at most 32, so no bucket overflows.
/// Eligible weight that did not reveal counts in the lowest bucket, at settlement only: the histogram holds reveals.
///
/// Release. Paying for a steps leaves pool · k^a, with k = (1 - release)^(1/64) fixed at construction. From frontier f to g
/// this is k^(g-f), in however many advances, where the pace pays them all: payments telescope.
///
/// Pace. A bucket of 64 steps that refills by one every s = ⌈pace / 64⌉ seconds, as one figure: the time at which it is full
/// again (`_paceClock`). At time t it holds 64 - max(0, clock - t) / s steps, rounded down; paying a steps moves the clock by
/// a · s.
///
/// Royalties. Champions i with advance a_i make up the frontier F = Σ a_i. A royalty R is shared as R · a_i / F, so one
/// figure, R / F summed up over time (`royaltyPerStep`), serves all: a champion is owed a_i × (its growth since settlement
/// or the last claim).
///
/// Fees. A settled model keeps fee · revealed / divisor for its voters, floored; each takes fee · weight / divisor, floored,
/// so the shares never exceed what was kept.
///
/// Money. The balance is at most `_MAX_BALANCE` = 2^96 - 1 whenever value comes in, and every sum of money is part of the
/// balance: casts of money to uint96 can't overflow. pool + stakes + credits + lockedFees + lockedRoyalties == balance.
/// @custom:security-contact see SECURITY.md
contract PDFed is IPDFed, Multicall, ReentrancyGuardTransient {
    // --------------------------------------------------------------------------------------------------- constants

    uint256 private constant _BPS = 10_000;
    uint256 private constant _PPM = 1_000_000;
    uint256 private constant _MAX_PARENTS = 8;
    /// Heard models after a node's last activity before it can be retired.
    uint256 private constant _HEARD_TO_RETIRE = 8;
    uint256 private constant _WEIGHT_PER_MIN_STAKE = 100;
    uint256 private constant _MAX_ACTIVE_WEIGHT = type(uint32).max >> 1;
    uint256 private constant _MAX_COMMITTED_WEIGHT = type(uint32).max;
    uint256 private constant _MAX_BALANCE = type(uint96).max;
    /// Seconds from a submission until its jury can be drawn.
    uint256 private constant _JURY_DELAY = 60;
    /// Steps that can be paid at once, where they are limited.
    uint256 private constant _STEPS_PER_PACE = 64;
    /// Fixed-point scale of `royaltyPerStep`.
    uint256 private constant _ROYALTY_SCALE = 1e18;
    /// Fixed-point one of the powers of (1 - release).
    uint256 private constant _UNIT = 1e36;
    /// Fixed-point bits of the bucket's thresholds.
    uint8 private constant _THRESHOLD_BITS = 190;
    /// A 1 in each of the eight 32-bit weights of a histogram's slot.
    uint256 private constant _ONES = type(uint256).max / type(uint32).max;

    // ------------------------------------------------------------------------------------------------------- terms

    bytes32 private immutable _genesis;
    uint256 private immutable _minStake;
    uint256 private immutable _submissionFee;
    uint256 private immutable _commitBond;
    uint256 private immutable _quorum;
    uint256 private immutable _release;
    uint256 private immutable _minGain;
    uint256 private immutable _jury;
    uint256 private immutable _royalty;
    uint256 private immutable _commitWindow;
    uint256 private immutable _revealWindow;
    uint256 private immutable _unbonding;
    uint256 private immutable _sunset;
    address private immutable _sponsor;
    uint256 private immutable _electorate;
    uint256 private immutable _enrolment;
    uint256 private immutable _pace;
    /// (1 - release)^(1/64) in units of 1e-36: the part of the pool that a step leaves.
    uint256 private immutable _keepPerStep;

    // ----------------------------------------------------------------------------------------------------- storage

    /// One slot.
    struct NodeRecord {
        uint96 stake;
        uint40 joinedAt;
        /// Unix seconds: of the last activity while active, of the exit's due time while exiting.
        uint40 clock;
        uint32 openCommits;
        Role role;
        bool exiting;
        /// It exits because it was silent, and may return.
        bool retired;
    }

    /// One slot.
    struct Tally {
        uint40 submittedAt;
        /// Seconds from submission until reveals open.
        uint32 commitSpan;
        uint32 committedWeight;
        uint32 revealedWeight;
        /// Ballots neither revealed nor forfeited.
        uint32 openBallots;
        int32 level;
        int8 gain;
        /// Steps by which it advanced the frontier; > 0 for champions only.
        uint8 advance;
        /// Scored or Unscored once settled, else None.
        Phase outcome;
    }

    /// Four slots, the last one written for champions only.
    struct ModelRecord {
        address author;
        uint32 parent;
        uint32 baseline;
        uint32 eligibleWeight;
        bytes32 bundle;
        Tally tally;
        uint96 payout;
        /// `royaltyPerStep` at its settlement or last claim.
        uint160 royaltyPerStep;
    }

    struct BallotRecord {
        bytes32 commitment;
        uint32 weight;
        BallotState state;
        bool feeClaimed;
    }

    /// One slot.
    struct Progress {
        uint32 modelCount;
        uint32 nextToSettle;
        uint32 champion;
        int32 frontier;
        /// Models settled with at least half the quorum revealed.
        uint32 heard;
        uint32 activeWeight;
        /// Unix seconds: end of the enrolment.
        uint40 opensAt;
    }

    Progress private _progress;

    uint96 private _pool;
    uint96 private _stakes;
    /// Unix seconds at which 64 steps can be paid again.
    uint40 private _paceClock;

    uint96 private _credits;
    uint96 private _lockedFees;
    /// Unix seconds from which the sunset counts: of the deployment, the last advance or the last return of the pool. Beside
    /// the sums so that their slot is never empty.
    uint40 private _sunsetClock;

    uint96 private _lockedRoyalties;
    /// Scaled by 1e18. Its 160 bits hold 2^5 settlements that each share half of a pool of 2^96 wei at frontier 1.
    uint160 private _royaltyPerStep;

    /// Unix seconds at which the last 8 heard models were settled, a ring: the next one replaces the oldest. A node is
    /// silent through 8 heard models if the oldest of them is younger than its last activity.
    uint40[_HEARD_TO_RETIRE] private _heardTimes;

    mapping(address account => NodeRecord) private _nodes;
    mapping(uint32 id => ModelRecord) private _models;
    mapping(uint32 id => mapping(address voter => BallotRecord)) private _ballots;
    mapping(uint32 id => uint256[16]) private _histograms;
    mapping(uint32 id => bytes32) private _jurySeeds;
    mapping(address author => mapping(bytes32 bundle => bool)) private _submitted;
    mapping(address account => uint256) private _creditOf;
    /// 0 where the account itself is the payee.
    mapping(address account => address) private _payees;

    /// @param terms_ the task's terms, within the bounds that `Terms` states.
    constructor(Terms memory terms_) payable {
        _checkTerms(terms_);
        _genesis = terms_.genesis;
        _minStake = terms_.minStake;
        _submissionFee = terms_.submissionFee;
        _commitBond = terms_.commitBond;
        _quorum = terms_.quorum;
        _release = terms_.release;
        _minGain = terms_.minGain;
        _jury = terms_.jury;
        _royalty = terms_.royalty;
        _commitWindow = terms_.commitWindow;
        _revealWindow = terms_.revealWindow;
        _unbonding = terms_.unbonding;
        _sunset = terms_.sunset;
        _sponsor = terms_.sponsor;
        _electorate = terms_.electorate;
        _enrolment = terms_.enrolment;
        _pace = terms_.pace;

        uint256 keep = (_BPS - terms_.release) * (_UNIT / _BPS);
        for (uint256 i = 0; i < 6; ++i) {
            keep = FixedPointMathLib.sqrt(keep * _UNIT);
        }
        _keepPerStep = keep;

        ModelRecord storage genesis = _models[0];
        genesis.bundle = terms_.genesis;
        genesis.tally.submittedAt = uint40(block.timestamp);
        genesis.tally.outcome = Phase.Scored;
        _progress.nextToSettle = 1;
        _progress.opensAt = uint40(block.timestamp + terms_.enrolment);
        _sunsetClock = uint40(block.timestamp);
        // As if 8 models were heard at the deployment, before anyone joined.
        for (uint256 i = 0; i < _HEARD_TO_RETIRE; ++i) {
            _heardTimes[i] = uint40(block.timestamp);
        }

        if (msg.value != 0) {
            _pool = _received();
            emit Funded(msg.sender, msg.value);
        }
    }

    // ------------------------------------------------------------------------------------------------------- nodes

    /// @inheritdoc IPDFed
    function register(Role role) external payable {
        if (role == Role.None) revert InvalidRole();
        if (_nodes[msg.sender].role != Role.None) revert AlreadyRegistered(msg.sender);
        if (msg.value < _minStake) revert StakeTooLow(msg.value, _minStake);
        uint96 stake = _received();

        _addWeight(_weight(stake));
        _nodes[msg.sender] =
            NodeRecord(stake, uint40(block.timestamp), uint40(block.timestamp), 0, role, false, false);
        _stakes += stake;
        emit NodeRegistered(msg.sender, role, stake);
    }

    /// @inheritdoc IPDFed
    function topUp() external payable {
        NodeRecord memory record = _activeNode(msg.sender);
        if (msg.value == 0) revert NothingSent();
        uint96 amount = _received();

        uint256 weight = _weight(record.stake);
        record.stake += amount;
        _addWeight(_weight(record.stake) - weight);
        record.joinedAt = uint40(block.timestamp);
        record.clock = uint40(block.timestamp);
        _nodes[msg.sender] = record;
        _stakes += amount;
        emit StakeAdded(msg.sender, amount, record.stake);
    }

    /// @inheritdoc IPDFed
    function requestExit(address account) external {
        _checkAccountOrPayee(account);
        emit ExitRequested(account, _leave(account, _activeNode(account)));
    }

    /// @inheritdoc IPDFed
    function cancelExit() external {
        NodeRecord memory record = _registeredNode(msg.sender);
        if (!record.retired) revert NotRetired(msg.sender);

        record.exiting = false;
        record.retired = false;
        _addWeight(_weight(record.stake));
        record.joinedAt = uint40(block.timestamp);
        record.clock = uint40(block.timestamp);
        _nodes[msg.sender] = record;
        emit ExitCancelled(msg.sender);
    }

    /// @inheritdoc IPDFed
    function claimStake(address account) external {
        _checkAccountOrPayee(account);
        NodeRecord memory record = _registeredNode(account);
        if (!record.exiting) revert StakeLocked(account, 0);
        if (block.timestamp < record.clock) revert StakeLocked(account, record.clock);
        if (record.openCommits != 0) revert CommitsOpen(account, record.openCommits);

        delete _nodes[account];
        _stakes -= record.stake;
        _addCredit(account, record.stake);
        emit StakeClaimed(account, record.stake);
    }

    /// @inheritdoc IPDFed
    function keepAlive() external {
        _activeNode(msg.sender);
        _nodes[msg.sender].clock = uint40(block.timestamp);
        emit KeptAlive(msg.sender);
    }

    /// @inheritdoc IPDFed
    function retire(address account) external {
        NodeRecord memory record = _activeNode(account);
        // The oldest time in the ring: since then, 8 models were heard.
        uint256 heardSince = _heardTimes[_progress.heard % _HEARD_TO_RETIRE];
        uint256 quietUntil = record.clock + _unbonding;
        if (heardSince <= record.clock || block.timestamp < quietUntil) {
            revert StillActive(account, record.clock, heardSince, quietUntil);
        }
        _nodes[account].retired = true;
        emit NodeRetired(account, _leave(account, record));
    }

    // ------------------------------------------------------------------------------------------------------ models

    /// @inheritdoc IPDFed
    function submit(bytes32 bundle, uint32[] calldata parents) external payable returns (uint32 id) {
        NodeRecord memory author = _activeNode(msg.sender);
        Progress memory progress = _progress;
        if (block.timestamp < progress.opensAt) revert NotOpen(progress.opensAt);
        if (author.role != Role.Trainer) revert NotTrainer(msg.sender);
        if (msg.value != _submissionFee) revert WrongFee(msg.value, _submissionFee);
        if (_submitted[msg.sender][bundle]) revert AlreadySubmitted(msg.sender, bundle);
        _checkParents(parents, progress.modelCount);

        id = ++progress.modelCount;
        _progress.modelCount = id;
        _submitted[msg.sender][bundle] = true;
        _nodes[msg.sender].clock = uint40(block.timestamp);
        _lockedFees += _received();

        uint32 eligibleWeight =
            uint32(FixedPointMathLib.max(progress.activeWeight - _weight(author.stake), _electorate));
        uint32 parent = parents[0];
        Tally memory tally;
        tally.submittedAt = uint40(block.timestamp);
        tally.commitSpan = uint32(_commitWindow);
        ModelRecord storage record = _models[id];
        record.author = msg.sender;
        record.parent = parent;
        record.baseline = progress.champion;
        record.eligibleWeight = eligibleWeight;
        record.bundle = bundle;
        record.tally = tally;
        emit ModelSubmitted(id, msg.sender, bundle, parents, progress.champion, eligibleWeight);
    }

    /// @inheritdoc IPDFed
    function drawJury(uint32 id) external {
        if (_jury == 0) revert JuryNotDrawn(id, 0);
        _jurySeed(id, _inPhase(id, _models[id], Phase.Voting).submittedAt);
    }

    /// @inheritdoc IPDFed
    function commitVote(uint32 id, bytes32 bundle, uint32 baseline, bytes32 commitment, bytes32 sealedScore) external {
        ModelRecord storage record = _models[id];
        Tally memory tally = record.tally;
        _checkPhase(id, tally, Phase.Voting);
        _checkBundle(id, record, bundle);
        if (record.baseline != baseline) revert BaselineMismatch(id, record.baseline, baseline);
        NodeRecord memory voter = _nodes[msg.sender];
        _checkActive(msg.sender, voter);
        BallotRecord storage vote = _ownBallot(id, record.author);
        if (voter.joinedAt >= tally.submittedAt) revert JoinedTooLate(id, voter.joinedAt, tally.submittedAt);
        uint256 weight = _weight(voter.stake);
        if (weight == 0) revert NoWeight(msg.sender);
        uint256 bonds;
        unchecked {
            bonds = _commitBond * (uint256(voter.openCommits) + 1); // 96 and 33 bits
        }
        if (voter.stake < bonds) revert BondNotCovered(voter.stake, bonds);
        uint256 eligible = record.eligibleWeight;
        if (_jury != 0) weight = _jurorWeight(id, weight, eligible, tally.submittedAt);
        uint256 committed;
        unchecked {
            committed = tally.committedWeight + weight; // of 32 bits each
        }
        if (committed > _MAX_COMMITTED_WEIGHT) revert WeightLimit(committed, _MAX_COMMITTED_WEIGHT);

        // A drawn jury's weight is random: reaching the eligible weight says nothing about who is still to come.
        bool opens = _jury == 0 && committed == eligible;
        vote.commitment = commitment;
        vote.weight = uint32(weight);
        vote.state = BallotState.Committed;
        unchecked {
            // At most one per model, and one per unit of committed weight: both fit 32 bits.
            record.tally.openBallots = tally.openBallots + 1;
            record.tally.committedWeight = uint32(committed);
            record.tally.commitSpan = opens ? uint32(block.timestamp - tally.submittedAt) : tally.commitSpan;
            NodeRecord storage account = _nodes[msg.sender];
            account.openCommits = voter.openCommits + 1;
            account.clock = uint40(block.timestamp);
        }
        emit VoteCommitted(id, msg.sender, commitment, sealedScore, uint64(weight));
        if (opens) emit RevealOpened(id);
    }

    /// @inheritdoc IPDFed
    function revealVote(uint32 id, address voter, Score calldata score, bytes32 salt) external {
        ModelRecord storage record = _models[id];
        Tally memory tally = _inPhase(id, record, Phase.Revealing);
        BallotRecord storage vote = _openBallot(id, voter);
        _checkScore(score);
        bytes32 commitment = _commitment(id, voter, score, salt);
        if (vote.commitment != commitment) revert CommitmentMismatch(vote.commitment, commitment);

        uint32 weight = vote.weight;
        uint256 bucket = _bucket(score.qn, score.baselineQn);
        vote.state = BallotState.Revealed;
        unchecked {
            // Undoes the commit's additions; the weights of a model together fit 32 bits.
            _nodes[voter].openCommits -= 1;
            record.tally.openBallots = tally.openBallots - 1;
            record.tally.revealedWeight = tally.revealedWeight + weight;
            _histograms[id][bucket >> 3] += uint256(weight) << ((bucket & 7) << 5);
        }
        emit VoteRevealed(id, voter, score, weight);
    }

    /// @inheritdoc IPDFed
    function lateVote(uint32 id, bytes32 bundle, Score calldata score) external {
        Phase current = phase(id);
        if (id == 0 || current == Phase.Voting) revert WrongPhase(id, current);
        _checkBundle(id, _models[id], bundle);
        _activeNode(msg.sender);
        BallotRecord storage vote = _ownBallot(id, _models[id].author);
        _checkScore(score);

        vote.state = BallotState.Late;
        emit LateVoteCast(id, msg.sender, score);
    }

    /// @inheritdoc IPDFed
    function settle(uint32 id) external {
        ModelRecord storage record = _models[id];
        Tally memory tally = _inPhase(id, record, Phase.Due);
        Progress memory progress = _progress;
        if (id != progress.nextToSettle) revert NotNextToSettle(id, progress.nextToSettle);

        uint256 revealed = tally.revealedWeight;
        uint256 eligible = record.eligibleWeight;
        uint256 paid;
        uint256 payout;
        tally.outcome = Phase.Unscored;
        if (revealed != 0 && revealed * _BPS >= _quorum * eligible) {
            tally.outcome = Phase.Scored;
            tally.gain = _medianGain(id, revealed, eligible);
            tally.level = _models[record.baseline].tally.level + tally.gain;
            int256 advance = int256(tally.level) - progress.frontier;
            // The baseline was champion once, so its level is at most the frontier, and the advance at most the gain.
            if (advance >= int256(_minGain)) {
                tally.advance = uint8(uint256(advance));
                paid = _takeSteps(tally.advance);
                payout = _payout(paid);
            }
        }
        if (revealed != 0 && 2 * revealed * _BPS >= _quorum * eligible) {
            _heardTimes[progress.heard % _HEARD_TO_RETIRE] = uint40(block.timestamp);
            progress.heard += 1;
        }
        uint32 frontierBefore = uint32(progress.frontier);
        if (tally.advance != 0) {
            progress.champion = id;
            progress.frontier = tally.level;
            _sunsetClock = uint40(block.timestamp);
        }
        progress.nextToSettle = id + 1;
        _progress = progress;
        record.tally = tally;

        uint96 kept = uint96(_feeShare(revealed, eligible, revealed));
        uint96 rest = uint96(_submissionFee) - kept;
        _pool = _pool - uint96(payout) + rest;
        _lockedFees -= rest;
        emit ModelSettled(id, tally.outcome == Phase.Scored, tally.gain, tally.level, payout, uint8(paid));
        if (tally.advance != 0) {
            emit ChampionChanged(id, tally.level);
            record.payout = uint96(payout);
            _reward(id, record, payout, frontierBefore);
        }
    }

    /// @inheritdoc IPDFed
    function forfeit(uint32 id, address voter) external {
        BallotRecord storage vote = _openBallot(id, voter);
        Tally memory tally = _models[id].tally;
        Phase current = _phase(tally);
        // An open ballot keeps its model Revealing until the deadline, so any later phase means that it has passed.
        if (current == Phase.Voting || current == Phase.Revealing) revert WrongPhase(id, current);

        vote.state = BallotState.Forfeited;
        _models[id].tally.openBallots = tally.openBallots - 1;
        NodeRecord memory record = _nodes[voter];
        // The stake covers the bonds of all open commits: a commit needs it, a reveal or a forfeit takes away one commit and
        // at most one bond, nothing else lowers a stake, and a node with open commits is not deleted.
        uint96 amount = uint96(_commitBond);
        uint256 weight = _weight(record.stake);
        record.stake -= amount;
        record.openCommits -= 1;
        if (!record.exiting) _progress.activeWeight -= uint32(weight - _weight(record.stake));
        _nodes[voter] = record;
        _stakes -= amount;
        _pool += amount;
        emit CommitForfeited(id, voter, amount);
    }

    // ------------------------------------------------------------------------------------------------------- money

    /// @inheritdoc IPDFed
    function claimFees(address account, uint32[] calldata ids) external {
        uint256 total;
        for (uint256 i = 0; i < ids.length; ++i) {
            uint32 id = ids[i];
            Phase current = phase(id);
            if (current < Phase.Scored) revert WrongPhase(id, current);
            BallotRecord storage vote = _ballots[id][account];
            if (vote.state != BallotState.Revealed) revert NotRevealed(id, account, vote.state);
            if (vote.feeClaimed) revert FeeAlreadyClaimed(id, account);

            vote.feeClaimed = true;
            ModelRecord storage record = _models[id];
            uint256 amount = _feeShare(vote.weight, record.eligibleWeight, record.tally.revealedWeight);
            total += amount;
            emit FeeClaimed(id, account, amount);
        }
        _lockedFees -= uint96(total);
        _addCredit(account, total);
    }

    /// @inheritdoc IPDFed
    function claimRoyalties(uint32[] calldata ids) external {
        uint160 royaltyPerStep = _royaltyPerStep;
        for (uint256 i = 0; i < ids.length; ++i) {
            uint32 id = ids[i];
            ModelRecord storage record = _models[id];
            uint256 advance = record.tally.advance;
            if (advance == 0) revert NotChampion(id);

            uint256 amount = FixedPointMathLib.fullMulDiv(advance, royaltyPerStep - record.royaltyPerStep, _ROYALTY_SCALE);
            record.royaltyPerStep = royaltyPerStep;
            _lockedRoyalties -= uint96(amount);
            _addCredit(record.author, amount);
            emit RoyaltiesClaimed(id, record.author, amount);
        }
    }

    /// @inheritdoc IPDFed
    function fund() external payable {
        if (msg.value == 0) revert NothingSent();
        _pool += _received();
        emit Funded(msg.sender, msg.value);
    }

    /// @inheritdoc IPDFed
    function reclaim() external {
        if (_sunset == 0) revert SunsetNotReached(0);
        Progress memory progress = _progress;
        uint256 until = _sunsetClock + _sunset;
        if (block.timestamp < until) revert SunsetNotReached(until);
        // Models are born and settled in order of id: where the next one was born too late, all later ones were.
        if (progress.nextToSettle <= progress.modelCount && _models[progress.nextToSettle].tally.submittedAt < until) {
            revert ModelsUnsettled(progress.nextToSettle, progress.modelCount);
        }
        uint256 amount = _pool;
        if (amount == 0) revert NothingToReclaim();

        _pool = 0;
        _sunsetClock = uint40(block.timestamp);
        _addCredit(_sponsor, amount);
        emit PoolReclaimed(_sponsor, amount);
    }

    /// @inheritdoc IPDFed
    function setPayee(address account, address newPayee) external {
        _checkPayee(account, newPayee);

        _payees[account] = newPayee;
        emit PayeeChanged(account, newPayee);
    }

    /// @inheritdoc IPDFed
    function withdraw(address account, address to) external nonReentrant {
        _checkPayee(account, to);
        uint256 amount = _creditOf[account];
        if (amount == 0) revert NothingToWithdraw(account);

        delete _creditOf[account];
        _credits -= uint96(amount);
        emit Withdrawn(account, to, amount);
        // Returned data is never read: a hostile recipient can't make it costly.
        if (!SafeTransferLib.trySafeTransferETH(to, amount, gasleft())) revert WithdrawFailed(to, amount);
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IPDFed
    function terms() external view returns (Terms memory) {
        return Terms({
            genesis: _genesis,
            minStake: uint96(_minStake),
            submissionFee: uint96(_submissionFee),
            commitBond: uint96(_commitBond),
            quorum: uint16(_quorum),
            release: uint16(_release),
            minGain: uint8(_minGain),
            jury: uint16(_jury),
            royalty: uint16(_royalty),
            commitWindow: uint32(_commitWindow),
            revealWindow: uint32(_revealWindow),
            unbonding: uint32(_unbonding),
            sunset: uint32(_sunset),
            sponsor: _sponsor,
            electorate: uint32(_electorate),
            enrolment: uint32(_enrolment),
            pace: uint32(_pace)
        });
    }

    /// @inheritdoc IPDFed
    function node(address account) external view returns (Node memory) {
        NodeRecord memory record = _nodes[account];
        return Node({
            role: record.role,
            stake: record.stake,
            joinedAt: record.joinedAt,
            exitAt: record.exiting ? record.clock : 0,
            openCommits: record.openCommits,
            retired: record.retired
        });
    }

    /// @inheritdoc IPDFed
    function model(uint32 id) external view returns (Model memory) {
        Phase current = phase(id);
        ModelRecord memory record = _models[id];
        return Model({
            author: record.author,
            bundle: record.bundle,
            parent: record.parent,
            baseline: record.baseline,
            submittedAt: record.tally.submittedAt,
            revealsOpenAt: record.tally.submittedAt + record.tally.commitSpan,
            eligibleWeight: record.eligibleWeight,
            committedWeight: record.tally.committedWeight,
            revealedWeight: record.tally.revealedWeight,
            gain: record.tally.gain,
            level: record.tally.level,
            advance: record.tally.advance,
            payout: record.payout,
            phase: current
        });
    }

    /// @inheritdoc IPDFed
    function ballot(uint32 id, address voter) external view returns (Ballot memory) {
        BallotRecord memory vote = _ballots[id][voter];
        return Ballot(vote.commitment, vote.weight, vote.state);
    }

    /// @inheritdoc IPDFed
    function histogram(uint32 id) external view returns (uint32[128] memory weights) {
        uint256[16] storage slots = _histograms[id];
        for (uint256 bucket = 0; bucket < 128; ++bucket) {
            weights[bucket] = uint32(slots[bucket >> 3] >> ((bucket & 7) << 5));
        }
    }

    /// @inheritdoc IPDFed
    function modelCount() external view returns (uint32) {
        return _progress.modelCount;
    }

    /// @inheritdoc IPDFed
    function champion() external view returns (uint32) {
        return _progress.champion;
    }

    /// @inheritdoc IPDFed
    function frontier() external view returns (int32) {
        return _progress.frontier;
    }

    /// @inheritdoc IPDFed
    function pool() external view returns (uint256) {
        return _pool;
    }

    /// @inheritdoc IPDFed
    function credit(address account) external view returns (uint256) {
        return _creditOf[account];
    }

    /// @inheritdoc IPDFed
    function payee(address account) public view returns (address) {
        address chosen = _payees[account];
        return chosen == address(0) ? account : chosen;
    }

    /// @inheritdoc IPDFed
    function activeWeight() external view returns (uint64) {
        return _progress.activeWeight;
    }

    /// @inheritdoc IPDFed
    function opensAt() external view returns (uint40) {
        return _progress.opensAt;
    }

    /// @inheritdoc IPDFed
    function payableSteps() public view returns (uint8) {
        if (_pace == 0) return uint8(_STEPS_PER_PACE);
        uint256 step = _secondsPerStep();
        uint256 clock = FixedPointMathLib.max(_paceClock, block.timestamp);
        return uint8((block.timestamp + _STEPS_PER_PACE * step - clock) / step);
    }

    /// @inheritdoc IPDFed
    function phase(uint32 id) public view returns (Phase) {
        Tally memory tally = _models[id].tally;
        if (tally.submittedAt == 0) revert UnknownModel(id);
        return _phase(tally);
    }

    /// @inheritdoc IPDFed
    function nextToSettle() external view returns (uint32) {
        return _progress.nextToSettle;
    }

    /// @inheritdoc IPDFed
    function ledger() external view returns (Ledger memory) {
        return Ledger(_stakes, _pool, _credits, _lockedFees, _lockedRoyalties);
    }

    /// @inheritdoc IPDFed
    function voteCommitment(uint32 id, address voter, Score calldata score, bytes32 salt) external view returns (bytes32) {
        return id > _progress.modelCount ? bytes32(0) : _commitment(id, voter, score, salt);
    }

    // ------------------------------------------------------------------------------------------------------ checks

    function _checkTerms(Terms memory t) private view {
        uint256 windows = uint256(t.commitWindow) + t.revealWindow;
        if (t.genesis == 0) revert InvalidTerms("genesis");
        if (t.minStake < 1e15) revert InvalidTerms("minStake");
        if (t.commitBond > t.minStake) revert InvalidTerms("commitBond");
        if (t.quorum == 0 || t.quorum > _BPS) revert InvalidTerms("quorum");
        if (t.release == 0 || t.release >= _BPS) revert InvalidTerms("release");
        if (t.minGain == 0 || t.minGain > 63) revert InvalidTerms("minGain");
        // EIP-4399: a chain whose PREVRANDAO is a difficulty, or a constant, gives less than 2^64 and has no randomness.
        bool canDraw = t.commitWindow > _JURY_DELAY && block.prevrandao >> 64 != 0;
        if (t.jury != 0 && !canDraw) revert InvalidTerms("jury");
        if (t.royalty > _BPS / 2) revert InvalidTerms("royalty");
        if (t.commitWindow == 0) revert InvalidTerms("commitWindow");
        if (t.revealWindow == 0 || t.revealWindow < t.commitWindow / 4) revert InvalidTerms("revealWindow");
        if (t.unbonding < windows) revert InvalidTerms("unbonding");
        if (t.sunset != 0 && t.sunset < t.enrolment + windows) revert InvalidTerms("sunset");
        if (t.sunset != 0 && t.sponsor == address(0)) revert InvalidTerms("sponsor");
        if (t.electorate > _MAX_ACTIVE_WEIGHT) revert InvalidTerms("electorate");
        if (t.pace != 0 && t.pace < _STEPS_PER_PACE) revert InvalidTerms("pace");
    }

    function _checkParents(uint32[] calldata parents, uint32 newest) private pure {
        uint256 count = parents.length;
        if (count == 0 || count > _MAX_PARENTS) revert InvalidParentCount(count, _MAX_PARENTS);
        for (uint256 i = 0; i < count; ++i) {
            if (parents[i] > newest) revert UnknownModel(parents[i]);
            for (uint256 j = 0; j < i; ++j) {
                if (parents[i] == parents[j]) revert DuplicateParent(parents[i]);
            }
        }
    }

    function _checkScore(Score calldata score) private pure {
        if (score.qn == 0 || score.baselineQn == 0 || score.memorized > _PPM) {
            revert InvalidScore(score.qn, score.baselineQn, score.memorized);
        }
    }

    function _checkBundle(uint32 id, ModelRecord storage record, bytes32 bundle) private view {
        if (record.bundle != bundle) revert BundleMismatch(id, record.bundle, bundle);
    }

    /// @dev The caller is the account's payee, and `chosen`, a recipient or a new payee, is an address.
    function _checkPayee(address account, address chosen) private view {
        if (chosen == address(0)) revert InvalidRecipient(chosen);
        if (msg.sender != payee(account)) revert NotPayee(account, payee(account));
    }

    function _checkAccountOrPayee(address account) private view {
        if (msg.sender != account && msg.sender != payee(account)) revert NotPayee(account, payee(account));
    }

    function _registeredNode(address account) private view returns (NodeRecord memory record) {
        record = _nodes[account];
        _checkRegistered(account, record);
    }

    function _activeNode(address account) private view returns (NodeRecord memory record) {
        record = _nodes[account];
        _checkActive(account, record);
    }

    function _checkRegistered(address account, NodeRecord memory record) private pure {
        if (record.role == Role.None) revert NotRegistered(account);
    }

    function _checkActive(address account, NodeRecord memory record) private pure {
        _checkRegistered(account, record);
        if (record.exiting) revert NodeExiting(account, record.clock);
    }

    /// @dev The caller's ballot, still empty, on a model of another author.
    function _ownBallot(uint32 id, address author) private view returns (BallotRecord storage vote) {
        if (msg.sender == author) revert OwnModel(id);
        vote = _ballots[id][msg.sender];
        if (vote.state != BallotState.None) revert AlreadyVoted(id, msg.sender, vote.state);
    }

    function _openBallot(uint32 id, address voter) private view returns (BallotRecord storage vote) {
        vote = _ballots[id][voter];
        if (vote.state != BallotState.Committed) revert NoOpenBallot(id, voter, vote.state);
    }

    function _inPhase(uint32 id, ModelRecord storage record, Phase required) private view returns (Tally memory tally) {
        tally = record.tally;
        _checkPhase(id, tally, required);
    }

    function _checkPhase(uint32 id, Tally memory tally, Phase required) private view {
        if (tally.submittedAt == 0) revert UnknownModel(id);
        Phase current = _phase(tally);
        if (current != required) revert WrongPhase(id, current);
    }

    function _phase(Tally memory tally) private view returns (Phase) {
        if (tally.outcome != Phase.None) return tally.outcome;
        if (block.timestamp < uint256(tally.submittedAt) + tally.commitSpan) return Phase.Voting;
        bool inTime = block.timestamp < tally.submittedAt + _commitWindow + _revealWindow;
        return inTime && tally.openBallots != 0 ? Phase.Revealing : Phase.Due;
    }

    // ----------------------------------------------------------------------------------------------------- effects

    /// @dev The value of this call, once the balance is known to fit 96 bits.
    function _received() private view returns (uint96) {
        if (address(this).balance > _MAX_BALANCE) revert BalanceLimit(address(this).balance, _MAX_BALANCE);
        return uint96(msg.value);
    }

    function _addCredit(address account, uint256 amount) private {
        _creditOf[account] += amount;
        _credits += uint96(amount);
    }

    function _addWeight(uint256 added) private {
        uint256 weight = _progress.activeWeight + added;
        if (weight > _MAX_ACTIVE_WEIGHT) revert WeightFull(weight, _MAX_ACTIVE_WEIGHT);
        _progress.activeWeight = uint32(weight);
    }

    /// @dev Takes an active node out of the active set. Returns the time from which its stake can be claimed.
    function _leave(address account, NodeRecord memory record) private returns (uint40 exitAt) {
        exitAt = uint40(block.timestamp + _unbonding);
        _nodes[account].exiting = true;
        _nodes[account].clock = exitAt;
        _progress.activeWeight -= uint32(_weight(record.stake));
    }

    /// @dev Takes what an advance is paid for out of the bucket of payable steps. Returns how many.
    function _takeSteps(uint256 advance) private returns (uint256 paid) {
        paid = FixedPointMathLib.min(advance, payableSteps());
        _paceClock = uint40(FixedPointMathLib.max(_paceClock, block.timestamp) + paid * _secondsPerStep());
    }

    /// @dev Splits a payout between the new champion's author and the earlier champions.
    function _reward(uint32 id, ModelRecord storage record, uint256 payout, uint256 frontierBefore) private {
        uint256 royalties = frontierBefore == 0 ? 0 : payout * _royalty / _BPS;
        if (royalties != 0) {
            _royaltyPerStep += uint160(royalties * _ROYALTY_SCALE / frontierBefore);
            _lockedRoyalties += uint96(royalties);
            emit RoyaltiesShared(id, royalties);
        }
        record.royaltyPerStep = _royaltyPerStep;
        if (payout != royalties) {
            _addCredit(record.author, payout - royalties);
            emit Rewarded(id, record.author, payout - royalties);
        }
    }

    /// @dev Weight of the caller's ballot if it is on the jury. A caller with weight was active when the model was
    /// submitted, so `eligible` is not 0.
    function _jurorWeight(uint32 id, uint256 weight, uint256 eligible, uint256 submittedAt) private returns (uint256) {
        bytes32 seed = _jurySeed(id, submittedAt);
        if (_jury * weight >= eligible) return weight;
        uint256 ticket = uint256(keccak256(abi.encode(seed, id, msg.sender))) % eligible;
        if (ticket >= _jury * weight) revert NotOnJury(id, msg.sender);
        return eligible / _jury;
    }

    /// @dev Seed of the jury, fixed by the first call in time: randomness that nobody knew at the submission.
    function _jurySeed(uint32 id, uint256 submittedAt) private returns (bytes32 seed) {
        seed = _jurySeeds[id];
        if (seed == 0) {
            uint256 from = submittedAt + _JURY_DELAY;
            if (block.timestamp < from) revert JuryNotDrawn(id, from);
            seed = bytes32(block.prevrandao);
            _jurySeeds[id] = seed;
            emit JuryDrawn(id, seed);
        }
    }

    // -------------------------------------------------------------------------------------------------- arithmetic

    function _weight(uint256 stake) private view returns (uint256) {
        return stake * _WEIGHT_PER_MIN_STAKE / _minStake;
    }

    function _feeShare(uint256 weight, uint256 eligible, uint256 revealed) private view returns (uint256) {
        return revealed == 0 ? 0 : _submissionFee * weight / FixedPointMathLib.max(eligible, revealed);
    }

    function _payout(uint256 steps) private view returns (uint256) {
        return uint256(_pool) * (_UNIT - FixedPointMathLib.rpow(_keepPerStep, steps, _UNIT)) / _UNIT;
    }

    /// @dev 0 where nothing limits the paid steps.
    function _secondsPerStep() private view returns (uint256) {
        return (_pace + _STEPS_PER_PACE - 1) / _STEPS_PER_PACE;
    }

    function _commitment(uint32 id, address voter, Score calldata score, bytes32 salt) private view returns (bytes32) {
        return keccak256(
            abi.encode(
                block.chainid,
                address(this),
                id,
                _models[id].baseline,
                voter,
                score.qn,
                score.baselineQn,
                score.memorized,
                salt
            )
        );
    }

    /// @dev The smallest bucket with 2 · cumulative ≥ total, less 64, where eligible weight that did not reveal lies in
    /// bucket 0. Its slot first, then the bucket within. A slot times `_ONES` has the sum of its eight weights on top; nothing
    /// carries, as all weights of a model together fit 32 bits.
    function _medianGain(uint32 id, uint256 revealed, uint256 eligible) private view returns (int8) {
        uint256[16] storage slots = _histograms[id];
        unchecked {
            uint256 total = FixedPointMathLib.max(eligible, revealed);
            uint256 missing = (total + 1) / 2; // weight up to and with the median's bucket
            uint256 silent = total - revealed;
            if (missing <= silent) return -64;
            missing -= silent;
            uint256 bucket = 0;
            uint256 weights = slots[0];
            for (uint256 sum; (sum = (weights * _ONES) >> 224) < missing; weights = slots[bucket >> 3]) {
                missing -= sum;
                bucket += 8;
            }
            for (; uint32(weights) < missing; weights >>= 32) {
                missing -= uint32(weights);
                ++bucket;
            }
            return int8(int256(bucket) - 64);
        }
    }

    /// @dev clamp(floor(64 · log2(baselineQn / qn)) + 64, 0, 127), exact for all inputs. With the ratio brought into [1, 2),
    /// six halvings of the exponent find the largest j with 2^(j/64) ≤ ratio. The thresholds are below the true powers by
    /// less than 2^-185 of them, and no ratio of two 64-bit integers (but 1 itself, which is exact) comes closer to one than
    /// 2^-140: a test walks the continued fractions.
    function _bucket(uint256 qn, uint256 baselineQn) internal pure returns (uint256 bucket) {
        if (baselineQn >= qn) bucket = 64;
        else baselineQn <<= 1;
        if (baselineQn < qn) return 0;
        if (baselineQn >= qn << 1) return 127;

        uint256 ratio = baselineQn << _THRESHOLD_BITS; // over qn; at most 2^255
        uint256 power = 1 << _THRESHOLD_BITS;
        (power, bucket) = _climb(power, bucket, 32, ratio, qn, 0x5a827999fcef32422cbec4d9baa55f4f8eb7b05d449dd426);
        (power, bucket) = _climb(power, bucket, 16, ratio, qn, 0x4c1bf828c6dc54b7a356918c17217b7b2f09cd0d8a7d40bc);
        (power, bucket) = _climb(power, bucket, 8, ratio, qn, 0x45cae0f1f545eb737df23143ac529e480d5427fdf5d61a4f);
        (power, bucket) = _climb(power, bucket, 4, ratio, qn, 0x42d561b3e6243d8a62e4adc610aa60d90a45022cf3ac28a8);
        (power, bucket) = _climb(power, bucket, 2, ratio, qn, 0x4166c34c5615d0eb9f1523ada32905ff94f8d257df7d2ebd);
        (power, bucket) = _climb(power, bucket, 1, ratio, qn, 0x40b268f9de0183b9bdf2b293de8a6f7a4f5c28b2af172e26);
    }

    /// @dev Adds `steps` to the bucket, and multiplies the power by `factor` = 2^(steps/64), if the ratio still reaches it.
    function _climb(uint256 power, uint256 bucket, uint256 steps, uint256 ratio, uint256 qn, uint256 factor)
        private
        pure
        returns (uint256, uint256)
    {
        uint256 next = FixedPointMathLib.fullMulDivN(power, factor, _THRESHOLD_BITS);
        return next * qn <= ratio ? (next, bucket + steps) : (power, bucket);
    }
}
