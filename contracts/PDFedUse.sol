// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeTransferLib} from "solady/utils/SafeTransferLib.sol";
import {IPDFed} from "./IPDFed.sol";
import {IPDFedUse} from "./IPDFedUse.sol";

/// @title PDFedUse
/// @notice See `IPDFedUse` for purpose and units. This file documents the O(1) bookkeeping.
///
/// Shares. Champion i gets advance(i) of the level(m) + genesisSteps parts of what was paid for champion m. The parts never
/// change once m is settled, so one figure per model, all that was ever paid for it, serves all: what i is owed is
/// ⌊paid(m) · advance(i) / parts(m)⌋ less what it took. Rounding happens on the sum, not on each payment or claim, so neither
/// their number nor their order matters. The advances of the champions up to m sum up to level(m), so the shares sum up to
/// paid(m) at most, and each who shares leaves less than one wei.
///
/// Offers are numbered by model and never overwritten; a receipt names its offer, so a purchase is one slot.
///
/// Money. credits + owedToPool + locked == balance, where locked = Σ paid(m) - claimed(m). The balance is at most
/// `_MAX_BALANCE` = 2^96 - 1 whenever value comes in, and every sum of money is part of the balance: casts of money to uint96
/// can't overflow. What was paid in all has 128 bits: 2^32 times the largest balance.
/// @custom:security-contact see SECURITY.md
contract PDFedUse is IPDFedUse, ERC1155, ReentrancyGuardTransient {
    uint256 private constant _BPS = 10_000;
    uint256 private constant _MAX_BALANCE = type(uint96).max;

    /// @inheritdoc IPDFedUse
    IPDFed public immutable override fed;
    /// @inheritdoc IPDFedUse
    uint16 public immutable override poolShare;
    /// @inheritdoc IPDFedUse
    uint16 public immutable override genesisSteps;
    /// @inheritdoc IPDFedUse
    address public immutable override genesisPayee;

    /// One slot.
    struct ReceiptRecord {
        address to;
        uint32 id;
        uint32 units;
        /// Number of the offer among the model's, from 1.
        uint32 offer;
    }

    uint96 private _owedToPool;
    uint96 private _locked;
    uint64 private _receiptCount;
    uint96 private _credits;

    mapping(uint32 id => uint32) private _offerCount;
    mapping(uint32 id => mapping(uint32 number => Offer)) private _offers;
    mapping(uint256 number => ReceiptRecord) private _receipts;
    mapping(uint32 id => Income) private _incomes;
    mapping(uint32 used => mapping(uint32 champion => uint256)) private _taken;
    mapping(address account => uint256) private _creditOf;

    /// @param fed_ the task.
    /// @param poolShare_ basis points of every payment for the task's pool; at most 10000.
    /// @param genesisSteps_ steps that the genesis counts for beside the champions.
    /// @param genesisPayee_ account of the genesis's share; not 0.
    /// @param uri_ where ERC-1155 metadata of the receipts lie; may be empty.
    constructor(IPDFed fed_, uint16 poolShare_, uint16 genesisSteps_, address genesisPayee_, string memory uri_)
        ERC1155(uri_)
    {
        if (address(fed_).code.length == 0) revert InvalidTerms("fed");
        if (poolShare_ > _BPS) revert InvalidTerms("poolShare");
        if (genesisPayee_ == address(0)) revert InvalidTerms("genesisPayee");
        fed = fed_;
        poolShare = poolShare_;
        genesisSteps = genesisSteps_;
        genesisPayee = genesisPayee_;
    }

    // ------------------------------------------------------------------------------------------------------ buying

    /// @inheritdoc IPDFedUse
    function offer(uint32 id, uint128 price, bytes32 licence) external {
        address author = _author(id, fed.model(id));
        if (msg.sender != author) revert NotAuthor(id, author);
        if (price != 0 && licence == 0) revert NoLicence(id);

        uint32 number = ++_offerCount[id];
        _offers[id][number] = Offer(price, licence);
        emit Offered(id, author, price, licence);
    }

    /// @inheritdoc IPDFedUse
    function buy(uint32 id, uint32 units, bytes32 licence, address to)
        external
        payable
        nonReentrant
        returns (uint256 receipt)
    {
        uint32 number = _offerCount[id];
        Offer memory current = _offers[id][number];
        if (current.price == 0) revert NotForSale(id);
        if (licence != current.licence) revert LicenceChanged(current.licence);
        uint256 required = uint256(current.price) * units;
        if (msg.value != required) revert WrongPrice(msg.value, required);

        _receive(id);
        receipt = ++_receiptCount;
        _receipts[receipt] = ReceiptRecord(to, id, units, number);
        emit Licensed(receipt, id, to, units, current.price, licence);
        _mint(to, id, units, "");
    }

    /// @inheritdoc IPDFedUse
    function use(uint32 id, bytes32 memo) external payable {
        // Reverts for a model that does not exist.
        fed.phase(id);

        _receive(id);
        emit Used(id, msg.sender, msg.value, memo);
    }

    // ------------------------------------------------------------------------------------------------------- money

    /// @inheritdoc IPDFedUse
    function claim(uint32 champion, uint32[] calldata used) external {
        IPDFed.Model memory claimant = fed.model(champion);
        address author = _author(champion, claimant);
        uint256 total;
        for (uint256 i = 0; i < used.length; ++i) {
            uint32 id = used[i];
            uint256 amount = _due(champion, claimant, id);
            if (amount == 0) continue;

            _taken[id][champion] += amount;
            _incomes[id].claimed += uint128(amount);
            total += amount;
            emit Claimed(champion, id, author, amount);
        }
        if (total == 0) revert NothingToClaim(champion);
        _locked -= uint96(total);
        _credits += uint96(total);
        _creditOf[author] += total;
    }

    /// @inheritdoc IPDFedUse
    function forward() external nonReentrant {
        uint256 amount = _owedToPool;
        if (amount == 0) revert NothingToForward();

        _owedToPool = 0;
        emit Forwarded(amount);
        fed.fund{value: amount}();
    }

    /// @inheritdoc IPDFedUse
    function withdraw(address account, address to) external nonReentrant {
        if (to == address(0)) revert InvalidRecipient(to);
        address payee = fed.payee(account);
        if (msg.sender != payee) revert NotPayee(account, payee);
        uint256 amount = _creditOf[account];
        if (amount == 0) revert NothingToWithdraw(account);

        delete _creditOf[account];
        _credits -= uint96(amount);
        emit Withdrawn(account, to, amount);
        // Returned data is never read: a hostile recipient can't make it costly.
        if (!SafeTransferLib.trySafeTransferETH(to, amount, gasleft())) revert WithdrawFailed(to, amount);
    }

    // ---------------------------------------------------------------------------------------------------- receipts

    /// @notice Refused: receipts can't be transferred.
    function setApprovalForAll(address, bool) public pure override {
        revert NotTransferable();
    }

    /// @dev Receipts are minted, and never move.
    function _update(address from, address to, uint256[] memory ids, uint256[] memory values) internal override {
        if (from != address(0)) revert NotTransferable();
        super._update(from, to, ids, values);
    }

    // ------------------------------------------------------------------------------------------------------- views

    /// @inheritdoc IPDFedUse
    function offerOf(uint32 id) external view returns (Offer memory) {
        return _offers[id][_offerCount[id]];
    }

    /// @inheritdoc IPDFedUse
    function receiptOf(uint256 number) external view returns (Receipt memory) {
        if (number == 0 || number > _receiptCount) revert UnknownReceipt(number, _receiptCount);
        ReceiptRecord memory record = _receipts[number];
        Offer memory sold = _offers[record.id][record.offer];
        return Receipt(record.id, record.to, record.units, sold.price, sold.licence);
    }

    /// @inheritdoc IPDFedUse
    function receiptCount() external view returns (uint256) {
        return _receiptCount;
    }

    /// @inheritdoc IPDFedUse
    function incomeOf(uint32 id) external view returns (Income memory) {
        return _incomes[id];
    }

    /// @inheritdoc IPDFedUse
    function claimedBy(uint32 champion, uint32 used) external view returns (uint256) {
        return _taken[used][champion];
    }

    /// @inheritdoc IPDFedUse
    function claimable(uint32 champion, uint32 used) external view returns (uint256) {
        return _due(champion, fed.model(champion), used);
    }

    /// @inheritdoc IPDFedUse
    function credit(address account) external view returns (uint256) {
        return _creditOf[account];
    }

    /// @inheritdoc IPDFedUse
    function useLedger() external view returns (UseLedger memory) {
        return UseLedger(_credits, _owedToPool, _locked);
    }

    // ---------------------------------------------------------------------------------------------------- internal

    /// @dev Books the value of this call as paid for a model.
    function _receive(uint32 id) private {
        if (msg.value == 0) revert NothingSent();
        if (address(this).balance > _MAX_BALANCE) revert BalanceLimit(address(this).balance, _MAX_BALANCE);
        uint256 toPool = msg.value * poolShare / _BPS;
        uint256 shared = msg.value - toPool;
        _owedToPool += uint96(toPool);
        _locked += uint96(shared);
        _incomes[id].paid += uint128(shared);
    }

    /// @dev What a champion can claim of the payments for `used`.
    function _due(uint32 champion, IPDFed.Model memory claimant, uint32 used) private view returns (uint256) {
        IPDFed.Model memory source = champion == used ? claimant : fed.model(used);
        if (source.phase < IPDFed.Phase.Scored) revert NotSettled(used);
        uint256 steps = _steps(champion, claimant);
        uint256 parts;
        if (steps == 0 && champion == used) {
            (steps, parts) = (1, 1); // settled, and not a champion: it shares with nobody
        } else {
            if (steps == 0) revert NotChampion(champion);
            if (used != 0 && source.advance == 0) revert NotChampion(used);
            if (claimant.level > source.level) revert NotBefore(champion, used);
            parts = uint256(int256(source.level)) + genesisSteps; // a champion's level is at least its advance
        }
        return _incomes[used].paid * steps / parts - _taken[used][champion];
    }

    function _steps(uint32 id, IPDFed.Model memory model) private view returns (uint256) {
        return id == 0 ? genesisSteps : model.advance;
    }

    function _author(uint32 id, IPDFed.Model memory model) private view returns (address) {
        return id == 0 ? genesisPayee : model.author;
    }
}
